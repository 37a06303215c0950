"""Requests and answers that somebody thought of to confuse an HTTP parser, as data.

- ``http-desync-guardian/`` and ``llhttp/``: cases that others wrote; each folder has its SOURCE and LICENSE.
- `cases` reads them; `malformed` and `malformed_answers` are our own tables.
- `strict` is the judge: a reader of HTTP/1.1 that knows nothing of ours and forgives nothing.  What it cannot read may
  not have been sent to an upstream.
"""
