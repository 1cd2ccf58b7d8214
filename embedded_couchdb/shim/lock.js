'use strict';

// Allows one server a folder. The lock is LevelDB's own; the operating system releases it when the process ends,
// kill -9 included, so no stale lock is left behind.

const fs = require('node:fs/promises');
const path = require('node:path');
const { promisify } = require('node:util');
const leveldown = require('leveldown');

class FolderInUseError extends Error {}

async function lockFolder(folder) {
  await fs.mkdir(folder, { recursive: true });
  const lock = leveldown(path.join(folder, '.server-lock'));
  try {
    await promisify(lock.open.bind(lock))();
  } catch (error) {
    throw new FolderInUseError(`The folder ${folder} is in use by another server (${error.message}).`);
  }
  return lock;
}

module.exports = { FolderInUseError, lockFolder };
