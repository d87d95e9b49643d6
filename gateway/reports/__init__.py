"""Scores and reports of interviews.

`assessor` scores them, `page` shows the report as HTML, `charts` draws its charts.
"""

__all__: list[str] = []
