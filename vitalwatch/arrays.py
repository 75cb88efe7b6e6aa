"""Names for the array types that the rooms exchange; shapes stand in each docstring."""

import numpy as np
import numpy.typing as npt

Floats = npt.NDArray[np.float32]
Doubles = npt.NDArray[np.float64]
Ints = npt.NDArray[np.int64]
Bytes8 = npt.NDArray[np.int8]
Bools = npt.NDArray[np.bool_]
