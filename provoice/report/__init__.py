"""One HTML file about a lake: figures from SQL, drawn as inline SVG."""
