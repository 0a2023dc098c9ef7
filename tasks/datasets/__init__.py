"""Data sets behind one small protocol: :class:`tasks.datasets.table.Table`."""
