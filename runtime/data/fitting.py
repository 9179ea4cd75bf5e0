"""The data of a run in the form that its model takes."""

from sparcl_compile.interface.errors import FieldError
from sparcl_compile.interface.manifest import SERIES, Model
from sparcl_compile.interface.names import AUGMENTS
from sparcl_compile.runtime.data.arrange import arranged
from sparcl_compile.runtime.data.dataset import Dataset
from sparcl_compile.runtime.data.kinds import checked
from sparcl_compile.runtime.data.sources import load
from sparcl_compile.runtime.data.tasks import check_fits, check_layout


def check_augment(wanted: str, model: Model) -> None:
    """Raise FieldError for an augmentation that is none, or one for samples of another kind than a model takes."""
    own = AUGMENTS[model.layout in SERIES]
    mend = f"give auto, none or {own}"
    if wanted in AUGMENTS.values() and wanted != own:
        raise FieldError("augment", wanted, f"does not suit samples of layout {model.layout}", mend)
    if wanted not in ("auto", "none", own):
        raise FieldError("augment", wanted, mend=mend)


def load_for(source: str, model: Model) -> Dataset:
    """Read a data source for a model.

    Raises:
        DataError: the source is unknown, cannot be read, does not make a data set or does not fit the model.
    """
    dataset = arranged(load(source, model), model)
    check_form(dataset, model)
    return checked(dataset, model)


def check_form(dataset: Dataset, model: Model) -> None:
    """Raise DataError where the samples have other axes than a model takes, or more classes than its head."""
    layout = check_fits(dataset, model.input_shape, model.classes, model.layout)
    check_layout(dataset, layout, model.layout)
