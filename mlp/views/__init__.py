"""Views: a graph that is stepped, edited and measured, live in Jupyter and alive in the built page.

Each view is one Python file here and one fragment in ``js/``; what they are told is made in `state`.
"""

from mlp.extras import extra

with extra("views"):
    import anywidget as anywidget
    import ipywidgets as ipywidgets
    import traitlets as traitlets

    from mlp import draw as draw
