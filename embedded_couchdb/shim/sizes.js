'use strict';

// CouchDB 3.x reports sizes.file, .external and .active. LevelDB knows only the first: all three are the size of the
// database's folder.

const { readdir, stat } = require('node:fs/promises');
const path = require('node:path');

async function fileBytes(file) {
  try {
    return (await stat(file)).size;
  } catch {
    return 0; // LevelDB may have removed the file
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
