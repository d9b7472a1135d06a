"""A small scene, rendered and written as TFDS writes MOVi-E."""

import itertools
import json
import struct

import cv2
import numpy as np
from array_record.python import array_record_module

FRAMES, HEIGHT, WIDTH = 24, 30, 40
FOCAL, SENSOR = 35.0, 32.0  # millimetres
DOME = 9.0  # metres; the background is a sphere around the origin
SCALE = np.array([1.5, 1.0, 1.2])  # metres; of the box that moves
TIMES = np.arange(FRAMES) / FRAMES


def about(axis, angle):
  """Rotation matrices [t 3 3] and their quaternions (w, x, y, z)."""
  axis = np.asarray(axis) / np.linalg.norm(axis)
  quaternion = np.concatenate(
    [np.cos(angle / 2)[:, None], np.sin(angle / 2)[:, None] * axis], axis=1
  )
  matrices = [cv2.Rodrigues(each * axis)[0] for each in angle]
  return np.stack(matrices), quaternion


# Blender's axes: z of the world is up, the camera looks along its own -z.
CAMERA_TURN, CAMERA_QUATERNION = about([1, 0.1, 0.05], 1.1 + 0.2 * TIMES)
CAMERA = np.array([0.0, -5.0, 2.4]) + TIMES[:, None] * [0.7, 0.2, 0.4]
BOX_TURN, BOX_QUATERNION = about([0.2, 0.1, 1], 2.4 * TIMES)
BOX = np.array([-1.2, 0.0, 0.3]) + TIMES[:, None] * [2.2, 0.5, 0.2]
CUBE = np.array(list(itertools.product([-0.5, 0.5], repeat=3)))


def rays(frame):
  """Unit rays [h w 3] in the world; y of pictures is down."""
  x = (np.arange(WIDTH) + 0.5 - WIDTH / 2) / WIDTH * SENSOR / FOCAL
  y = (np.arange(HEIGHT) + 0.5 - HEIGHT / 2) / WIDTH * SENSOR / FOCAL
  ray = np.stack(np.broadcast_arrays(x, -y[:, None], -1.0), -1)
  ray /= np.linalg.norm(ray, axis=-1, keepdims=True)
  return ray @ CAMERA_TURN[frame].T


def render(frame):
  """All layers of a picture; see `cast`."""
  return cast(rays(frame), frame)


def cast(ray, frame):
  """distance, segmentation, coordinates in the box in [0, 1], normals."""
  eye = CAMERA[frame]
  along = ray @ eye
  far = -along + np.sqrt(along**2 - eye @ eye + DOME**2)
  turn = BOX_TURN[frame]
  start = (eye - BOX[frame]) @ turn / SCALE
  step = ray @ turn / SCALE
  sides = np.stack([(-0.5 - start) / step, (0.5 - start) / step])
  enter, leave = sides.min(0), sides.max(0).min(-1)
  near = enter.max(-1)
  hit = (near < leave) & (near > 0)
  distance = np.where(hit, near, far)[..., None]
  local = (start + near[..., None] * step + 0.5) * hit[..., None]
  side = np.eye(3)[enter.argmax(-1)] * -np.sign(step)
  normal = np.where(hit[..., None], side @ turn.T, -ray)
  return distance, hit[..., None].astype(np.uint8), local, normal


def sixteen(values):
  return np.round(np.clip(values, 0, 1) * 65535).astype(np.uint16)


def png(picture):
  return cv2.imencode('.png', picture[..., ::-1])[1].tobytes()


def features(shift=0):
  """All that the reader must find, by the names that TFDS gives."""
  layers = [np.stack(layer) for layer in zip(*map(render, range(FRAMES)))]
  distance, segmentation, local, normal = layers
  near, far = distance.min(), distance.max()
  seen = np.flatnonzero(segmentation.any((1, 2, 3)))
  boxes = []
  for frame in seen:
    rows, columns, _ = segmentation[frame].nonzero()
    low, high = (rows.min(), columns.min()), (rows.max() + 1, columns.max() + 1)
    boxes.append([low[0] / HEIGHT, low[1] / WIDTH])
    boxes[-1] += [high[0] / HEIGHT, high[1] / WIDTH]
  colours = np.zeros((FRAMES, HEIGHT, WIDTH, 3), np.uint8)
  colours[..., 0] = 7 * np.arange(FRAMES)[:, None, None] + shift
  colours[..., 2] = segmentation[..., 0] * 200
  corners = (CUBE * SCALE) @ BOX_TURN.transpose(0, 2, 1) + BOX[:, None]
  hidden = np.tile(corners - 50, (2, 1, 1, 1))  # object 1 is never seen
  hidden[0] = corners
  return {
    'background': [b'a dome'],
    'metadata/height': np.array([HEIGHT]),
    'metadata/width': np.array([WIDTH]),
    'metadata/depth_range': np.array([near, far]),
    'camera/focal_length': np.array([FOCAL]),
    'camera/sensor_width': np.array([SENSOR]),
    'camera/positions': CAMERA,
    'camera/quaternions': CAMERA_QUATERNION,
    'instances/quaternions': np.stack([BOX_QUATERNION, BOX_QUATERNION]),
    'instances/bboxes_3d': hidden,
    'instances/bboxes/ragged_flat_values': np.array(boxes),
    'instances/bboxes/ragged_row_lengths_0': np.array([len(seen), 0]),
    'instances/bbox_frames/ragged_flat_values': seen,
    'instances/bbox_frames/ragged_row_lengths_0': np.array([len(seen), 0]),
    'video': list(map(png, colours)),
    'segmentations': list(map(png, segmentation)),
    'depth': list(map(png, sixteen((distance - near) / (far - near)))),
    'object_coordinates': list(map(png, sixteen(local))),
    'normal': list(map(png, sixteen(normal / 2 + 0.5))),
    'forward_flow': np.arange(300),  # a long list that nobody reads
  }


def varint(number):
  coded = b''
  while number > 127:
    coded, number = coded + bytes([number & 127 | 128]), number >> 7
  return coded + bytes([number])


def field(number, content):
  return varint(number << 3 | 2) + varint(len(content)) + content


def example(values):
  """A tf.train.Example."""
  entries = b''
  for name, value in values.items():
    if isinstance(value, list):
      feature = field(1, b''.join(field(1, item) for item in value))
    elif value.dtype.kind == 'f':
      feature = field(2, field(1, value.astype('<f4').tobytes()))
    else:
      feature = field(3, field(1, b''.join(map(varint, value.tolist()))))
    entries += field(1, field(1, name.encode()) + field(2, feature))
  return field(1, entries)


def write(folder, records, kind='array_record'):
  """A folder as TFDS leaves it: a shard for each record."""
  folder.mkdir(parents=True)
  splits = []
  for split in ('train', 'validation', 'test'):
    splits.append({'name': split, 'shardLengths': ['1'] * len(records)})
    for number, record in enumerate(records):
      name = f'movi_e-{split}.{kind}-{number:05d}-of-{len(records):05d}'
      if kind == 'array_record':
        writer = array_record_module.ArrayRecordWriter(
          str(folder / name), 'group_size:1'
        )
        writer.write(record)
        writer.close()
      else:
        # Nobody compares the checksums.
        header, checksum = struct.pack('<Q', len(record)), b'sums'
        (folder / name).write_bytes(header + checksum + record + checksum)
  info = {'name': 'movi_e', 'splits': splits, 'version': '1.0.0'}
  (folder / 'dataset_info.json').write_text(json.dumps(info))
  return folder
