"""Names for the kinds of array that the functions of this package read and write."""

from typing import Any, TypeAlias

import numpy as np
from numpy.typing import NDArray

Floats: TypeAlias = NDArray[np.float64]
Integers: TypeAlias = NDArray[np.int64]
Bools: TypeAlias = NDArray[np.bool_]

# Numbers that only settle ties, for example hashes: any type that can be ordered.
Ties: TypeAlias = NDArray[Any]
