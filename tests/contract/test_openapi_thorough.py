"""What test_openapi.py tests, with hundreds of requests to each operation, of each parameter every edge."""

from __future__ import annotations

import pytest
import schemathesis
import test_openapi
from hypothesis import settings

THOROUGH = schemathesis.openapi.from_dict(test_openapi.DOCUMENT)

pytestmark = pytest.mark.slow  # minutes of requests

served = test_openapi.served


@THOROUGH.parametrize()
@settings(test_openapi.EXAMPLES, max_examples=150)
def test_answers_are_as_described_to_many_more(
    case: schemathesis.Case, served: test_openapi.Served
) -> None:
    test_openapi.check(case, served)
