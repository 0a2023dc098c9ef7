"""The paper's estimator: its score against differentiation, its statistic against closed forms and its floor."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from oracles_path import normal

from jko.kernel_statistic import (
    independent_rows,
    kernel_residual,
    kernel_score,
    kernel_statistic,
    statistic_of,
)
from jko.residual import residual_data
