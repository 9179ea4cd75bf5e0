"""The data of a run in the form that its model takes."""

from sparcl_compile.interface.manifest import Model
from sparcl_compile.runtime.data.arrange import arranged
from sparcl_compile.runtime.data.dataset import Dataset
from sparcl_compile.runtime.data.kinds import checked
from sparcl_compile.runtime.data.sources import load
from sparcl_compile.runtime.data.tasks import check_fits, check_layout


def load_for(source: str, model: Model) -> Dataset:
    """Read a data source for a model.

    Raises:
        DataError: the source is unknown, cannot be read, does not make a data set or does not fit the model.
    """
    dataset = arranged(load(source, model), model)
    layout = check_fits(dataset, model.input_shape, model.classes, model.layout)
    check_layout(dataset, layout, model.layout)
    return checked(dataset, model)
