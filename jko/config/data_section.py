"""The section of the settings that says where the rows come from."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import BeforeValidator, Field, Strict, model_validator

from jko.config.sections import Finite, Fraction, Positive, Section, switch

#: the context that is a row's class, and the name of its column
CLASS = "class"
#: endings of files that are pictures
PICTURES = (".png", ".jpg", ".jpeg", ".bmp", ".tif", ".tiff", ".gif", ".webp")
#: endings of files of plain numbers, whose columns have no names
UNNAMED = (".npy", ".npz", ".zarr", ".zip")
#: words for the kinds of columns, and endings of files that hold some
KINDS, SCHEMAS = ("auto", "off"), (".yaml", ".yml", ".json")
#: copies that ``auto`` tries where a table has fewer rows than that
AUTO_COPIES, FEW_ROWS = 16, 10_000
#: starts that ``auto`` tries; the first one stays where two are equal
STARTS = ("marginals", "conditionals", "on", "whiten")
#: sources that can have a context, and those whose rows can have a class
CONTEXT_SOURCES, CLASS_SOURCES = (
    ("file", "digits", "breast_cancer", "rows"),
    ("digits", "breast_cancer", "rows"),
)


def _context(value: object) -> object:
    """One word that is not ``class`` is a mistake for a list of one column."""
    if isinstance(value, str) and value != CLASS:
        raise ValueError(f"data.context = {value!r}: give class, or columns in a list, as in [{value}]")
    return value


def _words(**known: str) -> BeforeValidator:
    """Characters and switches turned into the words that a setting allows."""
    spoken = {mark: word for word, mark in known.items()}

    def turned(value: object) -> object:
        if isinstance(value, bool):
            return "yes" if value else "no"
        return spoken.get(value, value) if isinstance(value, str) else value

    return BeforeValidator(turned)


Header = Annotated[Literal["auto", "yes", "no"], _words()]
Separator = Annotated[
    Literal["auto", "comma", "semicolon", "tab", "pipe", "space"],
    _words(comma=",", semicolon=";", tab="\t", pipe="|", space=" "),
]
Decimal = Annotated[Literal["auto", "point", "comma"], _words(point=".", comma=",")]
Thousands = Annotated[
    Literal["auto", "none", "comma", "point", "space", "apostrophe"],
    _words(none="", comma=",", point=".", space=" ", apostrophe="'"),
]


Encoding = Literal[
    "auto", "utf-8", "utf-16", "windows-1250", "windows-1251", "windows-1252", "iso-8859-1", "iso-8859-2",
    "shift-jis", "gb18030",
]  # fmt: skip


def _kinds(value: object) -> object:
    """A bare off is a switch for YAML; what is no word is a file."""
    found = switch(value)
    if isinstance(found, str) and found not in KINDS and not found.lower().endswith(SCHEMAS):
        raise ValueError(f"data.kinds = {found!r}: give auto, off or a .yaml of jko describe --write")
    return found


Start = Annotated[
    Literal["on", "off", "whiten", "marginals", "conditionals", "mixture", "auto"], BeforeValidator(switch)
]


class Split(Section):
    """Fractions of the rows held out, chosen by seed; the rest is for training."""

    validation: Fraction = 0.1
    test: Fraction = 0.1


class Augment(Section):
    """Smoothed copies of the training rows (see :func:`jko.laws.smoothing.manifold_parzen`).

    ``copies`` counts the rows themselves, so 1 means none; each copy gets its own dequantisation
    noise. ``width`` is relative to the offsets of the ``neighbours`` nearest rows. There are no more
    copies than fit into ``most_rows``: where rows are many, they speak for themselves. ``auto`` is 1 or
    :data:`AUTO_COPIES`, by a short trial on validation rows, where there are fewer than :data:`FEW_ROWS`
    rows; else 1.
    """

    copies: Annotated[int, Strict(), Field(ge=1, le=10_000)] | Literal["auto"] = 1
    most_rows: Annotated[int, Strict(), Field(ge=1, le=1_000_000_000)] = 100_000_000
    width: Annotated[float, Field(ge=0, le=10)] = 0.0
    neighbours: Annotated[int, Strict(), Field(ge=1, le=1000)] = 10

    def copies_of(self, rows: int) -> int:
        """How often so many rows are there afterwards, themselves included."""
        copies = 1 if self.copies == "auto" else self.copies
        return max(1, min(copies, self.most_rows // max(rows, 1)))


class Data(Section):
    """Where the rows come from and how they are prepared.

    ``smoothing`` is an Ornstein-Uhlenbeck time δ in standardised units: every row X becomes
    e^{-δ}X + √(1 − e^{-2δ}) Z, so that the chain models a law with a density where the data have
    none (see :func:`jko.laws.smoothing.ornstein_uhlenbeck`); 0 leaves the rows as they are.

    ``standardise`` is how rows get into the coordinates in which the chain starts (block 0): ``on`` by mean
    and deviation of every column, ``whiten`` to covariance I, ``marginals`` by a monotone spline of every
    column to a standard normal one (:mod:`jko.maps.start_map`), ``conditionals`` by such a map of every
    column given the cells of others (:mod:`jko.maps.conditionals`), where columns hold levels, ``mixture`` by
    the triangular map of a Gaussian mixture (:mod:`jko.maps.triangular`), ``off`` not at all; ``auto`` takes
    the best of the first four on validation rows, by short trials.

    ``missing_values`` are numbers that stand for an empty cell, such as −999; ``missing`` says what is then
    done: ``refuse`` the table, ``drop`` the rows, or ``model`` the holes with the cells
    (:mod:`jko.columns.missing`), where columns have kinds. ``header``, ``separator``, ``decimal``,
    ``thousands`` and ``encoding`` say how a CSV is written, where that is not seen from the file itself.
    ``array`` names the array of an NPZ or a Zarr group.

    ``kinds`` says of what kind every column of a table is (:mod:`jko.columns`): ``auto`` tells it from the
    training rows, where columns have names; a file of ``jko describe --write`` says it; ``off`` takes all
    columns for plain numbers. ``auto`` is ``off`` with ``smoothing``, and with ``dequantise: off``.

    ``rows`` as the source are rows given from Python, of which ``content`` is the SHA-256.

    ``context`` makes the flow conditional: names of columns of a table (covariates, standardised, never
    dequantised), or ``class`` for the class of the rows of digits or breast_cancer.
    """

    source: Literal[
        "digits", "breast_cancer", "moons", "eight_gaussians", "rose", "curve", "gaussian", "file", "rows"
    ] = "digits"
    content: Annotated[str, Field(pattern="^[0-9a-f]{64}$")] | None = None
    file: str | None = None
    columns: Annotated[tuple[str, ...], Field(min_length=1)] | None = None
    missing: Literal["refuse", "drop", "model"] = "refuse"
    missing_values: tuple[Finite, ...] = ()
    header: Header = "auto"
    separator: Separator = "auto"
    decimal: Decimal = "auto"
    thousands: Thousands = "auto"
    encoding: Encoding = "auto"
    array: Annotated[str, Field(min_length=1, max_length=200)] | None = None
    kinds: Annotated[str, BeforeValidator(_kinds)] = "auto"
    dequantise: Annotated[Literal["auto", "off"], BeforeValidator(switch)] = "auto"
    standardise: Start = "on"
    rows: Annotated[int, Strict(), Field(ge=2, le=100_000_000)] = 20_000
    mean: tuple[Finite, ...] = (3.0, 3.0)
    std: tuple[Positive, ...] = (1.0, 1.0)
    split: Split = Split()
    augment: Augment = Augment()
    smoothing: Annotated[float, Field(ge=0, le=5, allow_inf_nan=False)] = 0.0
    context: Annotated[
        Annotated[tuple[str, ...], Field(min_length=1)] | Literal["class"] | None, BeforeValidator(_context)
    ] = None

    @property
    def is_table(self) -> bool:
        """Whether the rows are those of a table, and no draws of a law or of a picture."""
        picture = self.file is not None and self.file.lower().endswith(PICTURES)
        return self.source in CONTEXT_SOURCES and not picture

    @property
    def kinds_used(self) -> str:
        """What kinds stands for in the end: ``auto``, ``off`` or a file."""
        unnamed = self.file is None or self.file.lower().endswith((*UNNAMED, *PICTURES))
        plain = self.smoothing > 0 or self.dequantise == "off"
        named = self.source == "rows" or (self.source == "file" and not unnamed)
        return "off" if self.kinds == "auto" and (plain or not named) else self.kinds

    @property
    def left_open(self) -> str:
        """What is chosen by trials when the data are prepared, as a sentence; empty where all is settled."""
        open_ = [f"the start ({', '.join(STARTS)})"] if self.standardise == "auto" else []
        open_ += ["copies of few rows or none"] if self.augment.copies == "auto" else []
        return f"{' and '.join(open_)}: chosen by short trials on validation rows" if open_ else ""

    @model_validator(mode="after")
    def _conditional(self) -> Data:
        if self.context is None:
            return self
        if self.source not in CONTEXT_SOURCES:
            raise ValueError(f"data.context is for data.source = {', '.join(CONTEXT_SOURCES)}")
        if self.context == CLASS and self.source not in CLASS_SOURCES:
            raise ValueError(
                f"data.context = class is for data.source = {', '.join(CLASS_SOURCES)}; "
                "name the columns of a file in a list, as in [age, dose]"
            )
        if len(set(self.context)) < len(self.context) and self.context != CLASS:
            raise ValueError(f"data.context names a column twice: {', '.join(self.context)}")
        if self.columns and (twice := set(self.columns) & set(self.context)):
            raise ValueError(
                f"column {min(twice)!r} is in data.columns and in data.context; it can be one only"
            )
        if self.smoothing:
            raise ValueError("data.smoothing and data.context do not go together; set one of them only")
        return self

    @model_validator(mode="after")
    def _with_holes(self) -> Data:
        if self.missing == "model" and self.source in ("file", "rows") and self.kinds_used == "off":
            raise ValueError(
                "data.missing = model is for tables whose columns have kinds (data.kinds = auto, or a file); "
                "elsewhere it is refuse or drop"
            )
        return self

    @model_validator(mode="after")
    def _of_kinds(self) -> Data:
        if self.kinds in KINDS:
            return self
        if self.model_copy(update={"kinds": "auto"}).kinds_used == "off":
            raise ValueError(
                f"data.kinds = {self.kinds} is for tables whose columns have names, without data.smoothing "
                "and with data.dequantise = auto; elsewhere it is auto or off"
            )
        return self

    @model_validator(mode="after")
    def _consistent(self) -> Data:
        if (self.source == "file") != (self.file is not None):
            raise ValueError("data.file names a file exactly when data.source is 'file'")
        if (self.source == "rows") != (self.content is not None):
            raise ValueError("data.source = rows is for rows that are given from Python (jko.fit)")
        if self.decimal == self.thousands != "auto":
            raise ValueError(
                f"data.decimal and data.thousands are both {self.decimal}; a mark can stand for one of "
                "them only"
            )
        if len(self.mean) != len(self.std) or not self.mean:
            raise ValueError("data.mean and data.std need the same number of entries, at least one")
        return self
