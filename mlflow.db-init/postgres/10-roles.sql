-- SPDX-License-Identifier: Apache-2.0
-- The database of the store and its two roles, each with no more than it needs:
--   gdzoo_rw  owns the database: makes the tables, writes runs
--   gdzoo_ro  reads: for `gdzoo board build` and for people who query
-- For a container's init folder, and for any server, as its superuser:
--   GDZOO_RW_PASSWORD=... GDZOO_RO_PASSWORD=... psql -f 10-roles.sql
-- Saying it again is harmless and sets the passwords anew. Needs psql 15 or later (\getenv), no password in this file.
\set ON_ERROR_STOP on
\getenv rw_password GDZOO_RW_PASSWORD
\getenv ro_password GDZOO_RO_PASSWORD

SELECT format('CREATE ROLE %I', name) FROM unnest(ARRAY['gdzoo_rw', 'gdzoo_ro']) AS name
WHERE name NOT IN (SELECT rolname FROM pg_roles) \gexec
ALTER ROLE gdzoo_rw LOGIN NOSUPERUSER NOCREATEDB NOCREATEROLE NOREPLICATION PASSWORD :'rw_password';
ALTER ROLE gdzoo_ro LOGIN NOSUPERUSER NOCREATEDB NOCREATEROLE NOREPLICATION PASSWORD :'ro_password';

SELECT 'CREATE DATABASE gdzoo OWNER gdzoo_rw' WHERE 'gdzoo' NOT IN (SELECT datname FROM pg_database) \gexec
REVOKE ALL ON DATABASE gdzoo FROM PUBLIC;
GRANT CONNECT ON DATABASE gdzoo TO gdzoo_ro;

\connect gdzoo
ALTER SCHEMA public OWNER TO gdzoo_rw;
REVOKE ALL ON SCHEMA public FROM PUBLIC;
GRANT USAGE ON SCHEMA public TO gdzoo_ro;
GRANT SELECT ON ALL TABLES IN SCHEMA public TO gdzoo_ro;
ALTER DEFAULT PRIVILEGES FOR ROLE gdzoo_rw IN SCHEMA public GRANT SELECT ON TABLES TO gdzoo_ro;
