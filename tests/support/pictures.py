"""Pictures of pages as small PNG files: 256 colours."""

from __future__ import annotations

import base64
import struct
import zlib
from itertools import chain
from typing import Any

# Its most frequent colours and those that are unlike them; each other pixel as the nearest of these.
REDUCE = """async url => {
    const [FREQUENT, FAR] = [128, 20 ** 2]
    const picture = new Image()
    picture.src = url
    await picture.decode()
    const canvas = new OffscreenCanvas(picture.width, picture.height)
    const context = canvas.getContext("2d")
    context.drawImage(picture, 0, 0)
    const {data} = context.getImageData(0, 0, picture.width, picture.height)
    const counts = new Map()
    const colour = at => (data[at] << 16) | (data[at + 1] << 8) | data[at + 2]
    for (let at = 0; at < data.length; at += 4) {
        counts.set(colour(at), (counts.get(colour(at)) ?? 0) + 1)
    }
    const parts = one => [one >> 16, (one >> 8) & 255, one & 255]
    const distance = (one, other) =>
        parts(one).reduce((sum, part, at) => sum + (part - parts(other)[at]) ** 2, 0)
    const palette = []
    for (const [one] of [...counts].sort((a, b) => b[1] - a[1])) {
        if (palette.length === 256) break
        const isNew = palette.length < FREQUENT || palette.every(other => distance(one, other) > FAR)
        if (isNew) palette.push(one)
    }
    const nearest = one => {
        let [best, least] = [0, Infinity]
        palette.forEach((other, index) => {
            const far = distance(one, other)
            if (far < least) [best, least] = [index, far]
        })
        return best
    }
    const known = new Map(palette.map((one, index) => [one, index]))
    const pixels = new Uint8Array(data.length / 4)
    for (let at = 0; at < pixels.length; at++) {
        const one = colour(at * 4)
        if (!known.has(one)) known.set(one, nearest(one))
        pixels[at] = known.get(one)
    }
    let text = ""
    for (let at = 0; at < pixels.length; at += 8192) {
        text += String.fromCharCode(...pixels.subarray(at, at + 8192))
    }
    return [picture.width, picture.height, palette.map(parts), btoa(text)]
}"""


def reduced(page: Any, picture: bytes) -> bytes:
    """The PNG with at most 256 colours. `page`: an empty one, whose script does the work."""
    url = f"data:image/png;base64,{base64.b64encode(picture).decode()}"
    width, height, palette, text = page.evaluate(REDUCE, url)
    pixels = base64.b64decode(text)
    rows = b"".join(b"\0" + pixels[start : start + width] for start in range(0, len(pixels), width))
    return (
        b"\x89PNG\r\n\x1a\n"
        + _chunk(b"IHDR", struct.pack(">IIBBBBB", width, height, 8, 3, 0, 0, 0))
        + _chunk(b"PLTE", bytes(chain.from_iterable(palette)))
        + _chunk(b"IDAT", zlib.compress(rows, 9))
        + _chunk(b"IEND", b"")
    )


def _chunk(name: bytes, content: bytes) -> bytes:
    checksum = struct.pack(">I", zlib.crc32(name + content))
    return struct.pack(">I", len(content)) + name + content + checksum
