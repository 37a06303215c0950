"""What routes answer themselves."""

from __future__ import annotations

from typing import Any

import pytest
from pydantic import ValidationError

from twisted_mesh.model.answers import FixedReply, Redirect, Rewrite


@pytest.mark.parametrize(
    "url",
    [
        "https://shop.example",
        "https://shop.example:8443/news?a=b#c",
        "http://[::1]/",
        "//cdn.example/x",
        "/news?all=1",
        "/",
        "shop-app://open/cart",
        "mailto:shop@shop.example",
    ],
)
def test_a_redirect_leads_to_a_url(url: str) -> None:
    assert Redirect.model_validate({"url": url}).url == url


@pytest.mark.parametrize(
    "url",
    [
        "nope",
        "",
        "shop.example/news",
        "shop.example:8080/news",
        "https:/x",
        "https://",
        "//",
        "/a b",
        "/\u00e9",
        "?a=b",
    ],
)
def test_what_leads_nowhere_is_refused(url: str) -> None:
    with pytest.raises(ValidationError, match="expected a URL such as https:"):
        Redirect.model_validate({"url": url})


@pytest.mark.parametrize("model", [Redirect, Rewrite])
def test_a_host_is_one(model: Any) -> None:
    assert model.model_validate({"host": "shop.example:8080"}).host == "shop.example:8080"
    with pytest.raises(ValidationError, match="expected a host, with a port if need be"):
        model.model_validate({"host": "a b"})


@pytest.mark.parametrize("status", [204, 205, 304])
def test_some_replies_have_no_body(status: int) -> None:
    assert FixedReply.model_validate({"status": status}).status == status
    with pytest.raises(ValidationError, match=f"a reply with the status {status} has no body"):
        FixedReply.model_validate({"status": status, "body": "x"})
