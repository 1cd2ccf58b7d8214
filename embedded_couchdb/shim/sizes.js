'use strict';

// CouchDB 3.x tells sizes as sizes.file, .external and .active. LevelDB keeps no such books: all three are
// what the folder takes on the disk.

const { readdir, stat } = require('node:fs/promises');
const path = require('node:path');

async function fileBytes(file) {
  try {
    return (await stat(file)).size;
  } catch {
    return 0; // LevelDB removes files at any moment
  }
}

async function folderBytes(db) {
  const folder = (db.__opts.prefix || '') + db.name;
  const files = await readdir(folder);
  const sizes = await Promise.all(files.map((file) => fileBytes(path.join(folder, file))));
  return sizes.reduce((sum, size) => sum + size, 0);
}

function sizesOf(bytes) {
  return { file: bytes, external: bytes, active: bytes };
}

module.exports = { folderBytes, sizesOf };
