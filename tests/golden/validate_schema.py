#!/usr/bin/python3
"""Validates dumps against docs/corodump.schema.json with a JSON Schema validator.

    validate_schema.py SCHEMA FILE...

A dump of many tasks would take the validator minutes, so of more than 2,000 tasks a sample is
validated: the first and last ones and an even spread between them. All else is validated whole.
Exits with 0 when every file is valid, 1 when one is not, 2 on a wrong command line.
"""

import json
import sys

import jsonschema

LARGEST_WHOLE = 2000
SAMPLE = 1000
MOST_ERRORS = 20


def sample_of(tasks):
    """All of the tasks, or an even spread of SAMPLE of them with both ends."""
    if len(tasks) <= LARGEST_WHOLE:
        return list(enumerate(tasks))
    step = (len(tasks) - 1) / (SAMPLE - 1)
    return [(i, tasks[i]) for i in sorted({round(n * step) for n in range(SAMPLE)})]


def pointer(prefix, error):
    return "".join("/" + str(part) for part in [*prefix, *error.absolute_path])


def errors_of(schema, dump):
    """Yields (pointer, message) for each way in which the dump departs from the schema."""
    validator_class = jsonschema.validators.validator_for(schema)
    whole = validator_class(schema)
    tasks = dump.get("tasks") if isinstance(dump, dict) else None
    if not isinstance(tasks, list):
        for error in whole.iter_errors(dump):
            yield pointer([], error), error.message
        return
    for error in whole.iter_errors({**dump, "tasks": []}):
        yield pointer([], error), error.message
    of_a_task = validator_class({"$schema": schema["$schema"], "$defs": schema["$defs"],
                                 "$ref": "#/$defs/task"})
    for index, task in sample_of(tasks):
        for error in of_a_task.iter_errors(task):
            yield pointer(["tasks", index], error), error.message


def check(schema, path):
    try:
        with open(path, encoding="utf-8") as file:
            dump = json.load(file)
    except (OSError, ValueError) as error:
        print(f"{path}: {error}")
        return False
    count = 0
    for where, message in errors_of(schema, dump):
        count += 1
        if count > MOST_ERRORS:
            print(f"{path}: more errors follow")
            break
        print(f"{path}: {where}: {message[:200]}")
    if count == 0:
        print(f"{path}: valid")
    return count == 0


def main(arguments):
    if len(arguments) < 3:
        print(__doc__, file=sys.stderr)
        return 2
    with open(arguments[1], encoding="utf-8") as file:
        schema = json.load(file)
    jsonschema.validators.validator_for(schema).check_schema(schema)
    return 0 if all([check(schema, path) for path in arguments[2:]]) else 1


if __name__ == "__main__":
    sys.exit(main(sys.argv))
