# SPDX-License-Identifier: Apache-2.0
"""DATASETS: the training sets that a spec can name, one row each, with what is known of them before they are read."""

from __future__ import annotations

import dataclasses


@dataclasses.dataclass(frozen=True)
class Dataset:
    """One row of DATASETS.

    Attributes:
        title: What it is, in a line.
        module: For stored images, the module whose `builder(name, data_dir)` is a tensorflow-datasets builder; for
            generated sets, the one whose `generate(config)` makes the arrays.
        task: `classification` (one-hot targets) or `regression`.
        shape: Shape (H, W, C) of one input; None where the spec gives it or the images differ in size.
        classes: Number of outputs K; None where the spec gives it.
        train_examples: Size of the training split; None where the spec gives it.
        test_examples: Size of the test split, or of the validation split where there is no other; 0 for none, None
            where it is not known beforehand.
        scale: Raw pixel values are divided by this, so that inputs lie in [0, 1]; None for generated sets.
        licence: Licence of the data, used where tensorflow-datasets names none.
        source: Where the data come from, used where tensorflow-datasets has no citation.
        download: What must come from the network: None, or the host and the size.
        test_split: What tensorflow-datasets calls the split that `split: test` reads.
    """

    title: str
    module: str
    task: str
    shape: tuple[int, int, int] | None
    classes: int | None
    train_examples: int | None
    test_examples: int | None
    scale: int | None
    licence: str
    source: str
    download: tuple[str, str] | None = None
    test_split: str = "test"


GENERATED = "generated here, no licence needed"

DATASETS: dict[str, Dataset] = {
    "digits": Dataset(
        title="8x8 handwritten digits, shipped with scikit-learn",
        module="harness.data.digits",
        task="classification",
        shape=(8, 8, 1),
        classes=10,
        train_examples=1500,
        test_examples=297,
        scale=16,
        licence="CC BY 4.0",
        source="Alpaydin & Kaynak, Optical Recognition of Handwritten Digits, UCI, 1998 (test part, 1,797 images)",
    ),
    "mnist": Dataset(
        title="28x28 handwritten digits",
        module="harness.data.idx",
        task="classification",
        shape=(28, 28, 1),
        classes=10,
        train_examples=60000,
        test_examples=10000,
        scale=255,
        licence="CC BY-SA 3.0",
        source="LeCun, Cortes & Burges, 1998, the MNIST database of handwritten digits",
        download=("storage.googleapis.com", "11 MiB"),
    ),
    "fashion_mnist": Dataset(
        title="28x28 images of clothes",
        module="harness.data.idx",
        task="classification",
        shape=(28, 28, 1),
        classes=10,
        train_examples=60000,
        test_examples=10000,
        scale=255,
        licence="MIT",
        source="Xiao, Rasul & Vollgraf, 2017, arXiv 1708.07747",
        download=("fashion-mnist.s3-website.eu-central-1.amazonaws.com", "30 MiB"),
    ),
    "kmnist": Dataset(
        title="28x28 cursive Japanese characters",
        module="harness.data.idx",
        task="classification",
        shape=(28, 28, 1),
        classes=10,
        train_examples=60000,
        test_examples=10000,
        scale=255,
        licence="CC BY-SA 4.0",
        source="Clanuwat et al., 2018, arXiv 1812.01718",
        download=("codh.rois.ac.jp", "20 MiB"),
    ),
    "cifar10": Dataset(
        title="32x32 photographs of ten kinds of things",
        module="harness.data.cifar",
        task="classification",
        shape=(32, 32, 3),
        classes=10,
        train_examples=50000,
        test_examples=10000,
        scale=255,
        licence="none stated",
        source="Krizhevsky, 2009, Learning multiple layers of features from tiny images",
        download=("www.cs.toronto.edu", "162 MiB"),
    ),
    "cifar100": Dataset(
        title="32x32 photographs of a hundred kinds of things",
        module="harness.data.cifar",
        task="classification",
        shape=(32, 32, 3),
        classes=100,
        train_examples=50000,
        test_examples=10000,
        scale=255,
        licence="none stated",
        source="Krizhevsky, 2009, Learning multiple layers of features from tiny images",
        download=("www.cs.toronto.edu", "161 MiB"),
    ),
    "svhn_cropped": Dataset(
        title="32x32 photographs of house numbers' digits",
        module="harness.data.svhn",
        task="classification",
        shape=(32, 32, 3),
        classes=10,
        train_examples=73257,
        test_examples=26032,
        scale=255,
        licence="for non-commercial use only",
        source="Netzer et al., 2011, Reading digits in natural images with unsupervised feature learning",
        download=("ufldl.stanford.edu", "1.5 GiB"),
    ),
    "imagenette": Dataset(
        title="photographs of ten classes of ImageNet, shorter side 320 (imagenette/320px-v2)",
        module="harness.data.imagenette",
        task="classification",
        shape=None,
        classes=10,
        train_examples=9469,
        test_examples=3925,
        scale=255,
        licence="Apache-2.0 for the selection; the photographs under ImageNet's terms",
        source="Howard, 2019, Imagenette: a smaller subset of 10 easily classified classes from ImageNet",
        download=("s3.amazonaws.com", "326 MiB"),
        test_split="validation",
    ),
    "tfds": Dataset(
        title="any other image-classification set of tensorflow-datasets, by its `dataset` name there",
        module="harness.data.stock",
        task="classification",
        shape=None,
        classes=None,
        train_examples=None,
        test_examples=None,
        scale=255,
        licence="the set's own",
        source="the set's own citation",
        download=("its own host", "its own size"),
    ),
    "file": Dataset(
        title="arrays of one's own in an .npz",
        module="harness.data.file",
        task="classification",  # or regression: the file decides
        shape=None,
        classes=None,
        train_examples=None,
        test_examples=0,
        scale=None,
        licence="as its owner says",
        source="its owner",
    ),
    "gaussian_classes": Dataset(
        title="Gaussians of unit variance around orthogonal means; the best possible accuracy is known",
        module="harness.data.synthetic",
        task="classification",
        shape=None,
        classes=None,
        train_examples=None,
        test_examples=0,
        scale=None,
        licence=GENERATED,
        source="Fisher, 1936: Gaussian classes of equal covariance",
    ),
    "linear_teacher": Dataset(
        title="targets A x with given singular values of A, for inputs with X'X / N = I",
        module="harness.data.synthetic",
        task="regression",
        shape=None,
        classes=None,
        train_examples=None,
        test_examples=0,
        scale=None,
        licence=GENERATED,
        source="Saxe, McClelland & Ganguli, 2014, arXiv 1312.6120",
    ),
    "random_labels": Dataset(
        title="standard Gaussian inputs, labels independent of them",
        module="harness.data.synthetic",
        task="classification",
        shape=None,
        classes=None,
        train_examples=None,
        test_examples=0,
        scale=None,
        licence=GENERATED,
        source="Zhang et al., 2017, arXiv 1611.03530",
    ),
    "modular_addition": Dataset(
        title="sequences a, b, p of integers, and a + b modulo p",
        module="harness.data.synthetic",
        task="classification",
        shape=None,
        classes=None,
        train_examples=None,
        test_examples=0,
        scale=None,
        licence=GENERATED,
        source="Power et al., 2022, arXiv 2201.02177",
    ),
    "parity": Dataset(
        title="sequences of bits, and whether the number of ones is odd",
        module="harness.data.synthetic",
        task="classification",
        shape=None,
        classes=None,
        train_examples=None,
        test_examples=0,
        scale=None,
        licence=GENERATED,
        source="Minsky & Papert, Perceptrons, 1969",
    ),
    "point": Dataset(
        title="one example of one number, for closed-form controls",
        module="harness.data.synthetic",
        task="regression",
        shape=(1, 1, 1),
        classes=1,
        train_examples=1,
        test_examples=0,
        scale=None,
        licence=GENERATED,
        source="gdzoo",
    ),
    "points": Dataset(
        title="examples of one number each, for closed-form controls",
        module="harness.data.synthetic",
        task="regression",
        shape=(1, 1, 1),
        classes=1,
        train_examples=None,
        test_examples=0,
        scale=None,
        licence=GENERATED,
        source="gdzoo",
    ),
    "paper_pair": Dataset(
        title="the two examples of the paper's figures, (0.9, 0.9) and (2.5, 2.5)",
        module="harness.data.synthetic",
        task="regression",
        shape=(1, 1, 1),
        classes=1,
        train_examples=2,
        test_examples=0,
        scale=None,
        licence=GENERATED,
        source="arXiv 2510.24466, appendix C",
    ),
}
