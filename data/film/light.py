"""Coded light of HDR and of wide gamut to the RGB of a usual display.

HDR to SDR is what Reports ITU-R BT.2408 and BT.2390 recommend: reference white
of HDR, 203 cd/m2, is the white of SDR; what is brighter is compressed by the
EETF of BT.2390 (5.4.1), applied to the largest of R, G and B so that no hue
turns; then primaries become those of BT.709. PQ and HLG are decoded as
BT.2100 says, HLG for a display of 1000 cd/m2. The display of SDR has the gamma
of BT.1886, 2.4.
"""

import functools

import av
import cv2
import numpy as np
from jaxtyping import Float32, Shaped, UInt8, UInt16

_WHITE = 203.0  # cd/m2, BT.2408
_HLG_PEAK = 1000.0  # cd/m2, of the display
_PEAK = 1000.0  # cd/m2, of PQ that does not say how bright it is
_BITS = 12  # of codes, of which tables are made
_SDR = 4096  # entries, evenly over the root of linear light
# Luminance in BT.2020, of which HLG's system gamma is.
_LUMA = np.array([[0.2627, 0.6780, 0.0593]], np.float32)
# x, y of red, green, blue and white (ITU-T H.273, table 2), by their number.
_D65 = (0.3127, 0.3290)
_PRIMARIES = {
  1: ((0.640, 0.330), (0.300, 0.600), (0.150, 0.060), _D65),
  9: ((0.708, 0.292), (0.170, 0.797), (0.131, 0.046), _D65),
  11: ((0.680, 0.320), (0.265, 0.690), (0.150, 0.060), (0.314, 0.351)),
  12: ((0.680, 0.320), (0.265, 0.690), (0.150, 0.060), _D65),
}

Rgb = UInt8[np.ndarray, 'h w 3']
Light = Float32[np.ndarray, 'h w 3']


def from_hdr(
  coded: UInt16[np.ndarray, 'h w 3'], pq: bool, primaries: int, peak: float
) -> Rgb:
  """SDR of a picture in PQ, or else HLG.

  Args:
    coded: RGB of full range.
    pq: which.
    primaries: by H.273; unknown ones are BT.2020.
    peak: cd/m2 of the brightest that there is; 0: unknown.
  """
  codes = coded >> (16 - _BITS)
  shown = _eotf(pq)[codes]
  if not pq:
    # The system gamma of a display of 1000 cd/m2: 1.2.
    shown *= cv2.transform(shown, _LUMA)[..., None] ** 0.2
    shown *= _HLG_PEAK / _WHITE
  levels, gains = _eetf(max(peak or _PEAK, _WHITE))
  brightest = np.sqrt(shown.max(-1))
  shown *= np.interp(brightest, levels, gains)[..., None].astype(np.float32)
  known = primaries if primaries in _PRIMARIES else 9
  return _displayed(shown, known)


def from_wide(coded: UInt16[np.ndarray, 'h w 3'], primaries: int) -> Rgb:
  """BT.709 of an SDR picture in other primaries, clipped to them."""
  codes = np.linspace(0, 1, 2**_BITS, dtype=np.float32)
  return _displayed((codes**2.4)[coded >> (16 - _BITS)], primaries)


def brightest(frame: av.VideoFrame) -> float:
  """cd/m2 that an HDR frame says it has at most; 0 if it does not say."""
  found = frame.side_data
  if 'CONTENT_LIGHT_LEVEL' in found:
    level = int(np.frombuffer(found['CONTENT_LIGHT_LEVEL'], np.uint32)[0])
    if level:
      return float(level)
  if 'MASTERING_DISPLAY_METADATA' in found:
    # Ten fractions, the last of them the highest luminance, and two flags.
    numbers = np.frombuffer(found['MASTERING_DISPLAY_METADATA'], np.int32)
    if len(numbers) >= 22 and numbers[21] and numbers[19]:
      return float(numbers[18] / numbers[19])
  return 0.0


def _displayed(shown: Light, primaries: int) -> Rgb:
  """Linear light, 1 is white, as a display of BT.709 takes it."""
  shown = cv2.transform(shown, _to_bt709(primaries))
  np.clip(shown, 0, 1, out=shown)
  # Evenly over the root: dark tones differ by less than a code there too.
  np.sqrt(shown, out=shown)
  return _table()[(shown * (_SDR - 1) + 0.5).astype(np.int32)]


@functools.cache
def _table() -> UInt8[np.ndarray, 'n']:
  root = np.linspace(0, 1, _SDR)
  return np.rint(255 * root ** (2 / 2.4)).astype(np.uint8)


@functools.cache
def _eotf(pq: bool) -> Float32[np.ndarray, 'n']:
  """Light by code: of PQ where 1 is SDR's white, of HLG before its gamma."""
  code = np.linspace(0, 1, 2**_BITS)
  if pq:
    return (_from_pq(code) / _WHITE).astype(np.float32)
  a, b, c = 0.17883277, 0.28466892, 0.55991073  # BT.2100, table 5
  high = (np.exp((code - c) / a) + b) / 12
  return np.where(code <= 0.5, code**2 / 3, high).astype(np.float32)


@functools.lru_cache(maxsize=8)
def _eetf(peak: float) -> tuple[np.ndarray, np.ndarray]:
  """Roots of linear light, and by what light so bright is multiplied."""
  root = np.linspace(0, np.sqrt(10000 / _WHITE), 4096)
  light = np.maximum(root**2 * _WHITE, 1e-6)
  most = _to_pq(peak)
  level = np.minimum(_to_pq(light) / most, 1)
  white = _to_pq(_WHITE) / most
  knee = 1.5 * white - 0.5
  t = np.clip((level - knee) / max(1 - knee, 1e-9), 0, 1)
  spline = (
    (2 * t**3 - 3 * t**2 + 1) * knee
    + (t**3 - 2 * t**2 + t) * (1 - knee)
    + (-2 * t**3 + 3 * t**2) * white
  )
  mapped = _from_pq(np.where(level < knee, level, spline) * most)
  return root, mapped / light


def _from_pq(code: np.ndarray) -> np.ndarray:
  """cd/m2 (SMPTE ST 2084)."""
  power = code ** (1 / _M2)
  return 10000 * (np.maximum(power - _C1, 0) / (_C2 - _C3 * power)) ** (1 / _M1)


def _to_pq(light: np.ndarray | float) -> np.ndarray | float:
  power = (light / 10000) ** _M1
  return ((_C1 + _C2 * power) / (1 + _C3 * power)) ** _M2


_M1, _M2 = 2610 / 16384, 2523 / 4096 * 128
_C1, _C2, _C3 = 3424 / 4096, 2413 / 4096 * 32, 2392 / 4096 * 32


@functools.cache
def _to_bt709(primaries: int) -> Float32[np.ndarray, '3 3']:
  return (np.linalg.inv(_to_xyz(1)) @ _to_xyz(primaries)).astype(np.float32)


def _to_xyz(primaries: int) -> Shaped[np.ndarray, '3 3']:
  """RGB to XYZ, white to that of D65 (SMPTE RP 177)."""
  *colours, white = _PRIMARIES[primaries]
  columns = np.array([[x / y, 1, (1 - x - y) / y] for x, y in colours]).T
  x, y = white
  scale = np.linalg.solve(columns, [x / y, 1, (1 - x - y) / y])
  x, y = _D65
  # Another white is adapted by XYZ, as of DCI's.
  adapted = np.array([x / y, 1, (1 - x - y) / y]) / (columns @ scale)
  return adapted[:, None] * columns * scale
