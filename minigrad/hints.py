"""Replacements for NumPy functions that have no gradient here."""

from __future__ import annotations

#: By NumPy's name for it.
HINTS = {
    "np.linalg.eig": "mg.linalg.eigh, for a symmetric matrix",
    "np.linalg.eigvals": "mg.linalg.eigvalsh, for a symmetric matrix",
    "np.linalg.lstsq": "mg.linalg.pinv(a) @ b",
    "np.linalg.qr": "L = mg.linalg.cholesky(x.T @ x), then R = L.T and Q = x @ mg.linalg.inv(R)",
    "np.linalg.cond": "s = mg.linalg.svdvals(x), then s[..., 0] / s[..., -1]",
    "np.linalg.tensorinv": "mg.linalg.inv of the reshaped matrix",
    "np.linalg.tensorsolve": "mg.linalg.solve of the reshaped matrix",
    "np.cov": "d = x - x.mean(axis=1, keepdims=True), then d @ d.T / (d.shape[1] - 1)",
    "np.corrcoef": "mg.matmul of the rows less their means, divided by their norms",
    "np.copysign": "mg.abs(x) * np.sign(y)",
    "np.ediff1d": "mg.diff(mg.ravel(x))",
    "np.modf": "x - np.trunc(x), and np.trunc(x)",
    "np.ldexp": "x * 2.0**n",
    "np.unstack": "list(t)",
    "np.correlate": "mg.convolve(x, mg.flip(y), mode)",
    "np.delete": "t[np.delete(np.arange(n), index)]",
    "np.insert": "mg.concatenate of the parts before and behind",
    "np.resize": "mg.tile and a slice",
    "np.unique": "np.unique(t.data, return_index=True), then t[index]",
    "np.histogram": "np.histogram(t.data)",
    "np.polyval": "a sum of p[i] * x**n",
    "np.vander": "x[:, None] ** np.arange(n)",
    "np.cumulative_sum": "mg.cumsum",
    "np.cumulative_prod": "mg.cumprod",
    "np.nancumsum": "mg.cumsum(mg.where(np.isnan(x), 0, x))",
    "np.nancumprod": "mg.cumprod(mg.where(np.isnan(x), 1, x))",
    "np.nanmedian": "mg.median(x[~np.isnan(x)])",
    "np.nanquantile": "mg.quantile(x[~np.isnan(x)], q)",
    "np.nanpercentile": "mg.percentile(x[~np.isnan(x)], q)",
    "np.matvec": "x @ v[..., None]",
    "np.vecmat": "v[..., None, :] @ x",
    "np.put_along_axis": "t.at[index].set(values)",
    "np.put": "t.at[index].set(values)",
    "np.place": "mg.where(mask, value, t)",
    "np.putmask": "mg.where(mask, value, t)",
    "np.copyto": "t.at[...].set(values)",
    "np.fill_diagonal": "i = np.arange(n), then t.at[i, i].set(value)",
    "np.apply_along_axis": "mg.stack of the function's values",
    "np.fft.hfft": "mg.fft.irfft(mg.conj(x), norm='forward')",
    "np.fft.ihfft": "mg.conj(mg.fft.rfft(x, norm='forward'))",
    "np.i0": "a rule of your own with mg.op",
    "np.add.reduce": "mg.sum",
    "np.add.accumulate": "mg.cumsum",
    "np.add.at": "t.at[index].add(values)",
    "np.multiply.reduce": "mg.prod",
    "np.multiply.accumulate": "mg.cumprod",
    "np.multiply.at": "t.at[index].multiply(values)",
    "np.multiply.outer": "mg.outer",
    "np.maximum.reduce": "mg.max",
    "np.minimum.reduce": "mg.min",
}


def without_gradient(name: str) -> TypeError:
    """The error for a NumPy function that is not implemented."""
    instead = f"write {HINTS[name]}" if name in HINTS else "use t.data for the plain array, or mg.op for a rule"
    return TypeError(f"{name} has no gradient in minigrad; {instead}")
