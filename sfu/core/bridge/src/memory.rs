//! Memory of the process as a whole.

use pyo3::prelude::*;

#[pyfunction]
pub(crate) fn release_free_memory(py: Python<'_>) {
    py.detach(kinguicall_net::release_free_memory);
}
