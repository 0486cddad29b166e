"""Checks a file of values against a chart's schema: values.py VALUES SCHEMA"""

import json
import sys

import jsonschema
import yaml

values, schema = sys.argv[1:]
with open(values, encoding="utf-8") as values_file, open(schema, encoding="utf-8") as schema_file:
    try:
        jsonschema.validate(yaml.safe_load(values_file), json.load(schema_file))
    except jsonschema.ValidationError as error:
        sys.exit(f"{values}: {'.'.join(map(str, error.absolute_path))}: {error.message}")
