"""A file on a web server as if it were here: read in parts, so that an archive need not be fetched to be opened."""

from __future__ import annotations

import http.client
import io
import time
import urllib.error
import urllib.request

from depth.types import UserError

_SKIP = 1 << 20  # bytes; a gap up to this is read over, since a new request costs more
_TIMEOUT = 60.0  # seconds without a byte
_PAUSES = (1.0, 4.0, 16.0, 60.0)  # seconds before another try

_BROKEN = (urllib.error.URLError, http.client.HTTPException, OSError)


class RemoteFile(io.RawIOBase):
    """A seekable file that is fetched with HTTP Range requests, forward reads from one of them.

    A connection that breaks is taken up where it broke. Raises UserError where the server does not have the file,
    cannot send parts of it, or stays away.

    Args:
        url: http or https.
    """

    def __init__(self, url: str) -> None:
        super().__init__()
        if not url.startswith(("http://", "https://")):
            raise UserError(f"{url} is not a web address")
        self.url, self.received = url, 0
        self._position = 0
        self._response: http.client.HTTPResponse | None = None
        self._response_position = 0
        self._open(0)

    def readable(self) -> bool:
        return True

    def seekable(self) -> bool:
        return True

    def tell(self) -> int:
        return self._position

    def seek(self, offset: int, whence: int = io.SEEK_SET) -> int:
        origin = {io.SEEK_SET: 0, io.SEEK_CUR: self._position, io.SEEK_END: self.size}[whence]
        self._position = max(0, origin + offset)
        return self._position

    def readinto(self, buffer: memoryview) -> int:
        """Fills the buffer as far as one reading goes; 0 at the end of the file."""
        if self._position >= self.size or not len(buffer):
            return 0
        for pause in (*_PAUSES, None):
            try:
                content = self._read(min(len(buffer), self.size - self._position))
                break
            except _BROKEN as error:
                self._wait(pause, error)
        buffer[: len(content)] = content
        self._position += len(content)
        return len(content)

    def close(self) -> None:
        self._drop()
        super().close()

    def _read(self, count: int) -> bytes:
        gap = self._position - self._response_position
        if self._response is None or not 0 <= gap <= _SKIP:
            self._request(self._position)
        elif gap:
            self._take(gap)
            if self._response_position != self._position:
                raise http.client.IncompleteRead(b"")
        content = self._take(count)
        if not content:
            raise http.client.IncompleteRead(b"")
        return content

    def _take(self, count: int) -> bytes:
        content = self._response.read(count)
        self._response_position += len(content)
        self.received += len(content)
        return content

    def _open(self, position: int) -> None:
        for pause in (*_PAUSES, None):
            try:
                return self._request(position)
            except _BROKEN as error:
                self._wait(pause, error)

    def _request(self, position: int) -> None:
        self._drop()
        request = urllib.request.Request(self.url, headers={"Range": f"bytes={position}-"})
        try:
            response = urllib.request.urlopen(request, timeout=_TIMEOUT)
        except urllib.error.HTTPError as error:
            if error.code in (408, 429) or error.code >= 500:
                raise
            raise UserError(f"{self.url}: the server says {error.code} {error.reason}") from None
        length = response.headers.get("Content-Range", "").rpartition("/")[2]
        if response.status != 206 or not length.isdecimal():
            response.close()
            raise UserError(f"{self.url}: the server does not send parts of files; fetch the archive by hand")
        self.size = int(length)
        self._response, self._response_position = response, position

    def _wait(self, pause: float | None, error: Exception) -> None:
        """Before another try; with no try left, the error."""
        self._drop()
        if pause is None:
            reason = getattr(error, "reason", None) or error
            raise UserError(f"{self.url} cannot be read ({reason}); later, the same command goes on") from None
        time.sleep(pause)

    def _drop(self) -> None:
        if self._response is not None:
            self._response.close()
            self._response = None
