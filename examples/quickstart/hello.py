"""Reads the greeting that another process left and leaves one: any language that can call C joins in as this one does.

    python3 hello.py
"""

from ctypes import CDLL, byref, c_size_t, create_string_buffer, get_errno
from os import strerror

# Names are files to this library, and shared memory to libsplinter.so.0. Both are found as the system finds libraries.
splinter = CDLL("libsplinter_p.so.0", use_errno=True)

if splinter.splinter_open_or_create(b"hello.splinter", c_size_t(1024), c_size_t(4096)) != 0:
    raise SystemExit(f"hello.splinter: {strerror(get_errno())}")
greeting, length = create_string_buffer(4096), c_size_t(0)
splinter.splinter_get(b"greeting", greeting, c_size_t(len(greeting)), byref(length))
print(f'python found "{greeting.raw[: length.value].decode()}"')
new = "hello from Python".encode()
splinter.splinter_set(b"greeting", new, c_size_t(len(new)))
splinter.splinter_close()
