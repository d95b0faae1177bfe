"""Policy files: read strictly, checked, and refused where they are wrong."""
