'use strict';

// What CouchDB tells of design documents: their list at _design_docs, and their index at _info, where the signature
// depends on the views alone: the same views under another name share it, and the index.
// https://docs.couchdb.org/en/stable/api/ddoc/common.html

const { createHash } = require('node:crypto');
const { handle, sendJson } = require('./http');
const { folderBytes, sizesOf } = require('./sizes');

function signatureOf(ddoc) {
  const { views = {}, language = 'javascript', options = {} } = ddoc;
  return createHash('md5').update(JSON.stringify([views, language, options])).digest('hex');
}

// PouchDB opens an index at its first query and keeps it, by the text of its functions.
async function openIndexes(db, ddoc) {
  const cached = db._cachedViews || {};
  const keys = Object.values(ddoc.views ?? {}).map(({ map, reduce }) => `${map}${reduce}undefined`);
  return Promise.all(keys.filter((key) => cached[key]).map((key) => cached[key]));
}

async function indexedUpTo(index) {
  try {
    return (await index.db.get('_local/lastSeq')).seq;
  } catch {
    return 0;
  }
}

// CouchDB indexes in the background, so that updates_pending comes down without a query.
function indexInBackground(db, ddoc, name) {
  for (const view of Object.keys(ddoc.views ?? {})) {
    db.query(`${name}/${view}`, { limit: 0, reduce: false }).catch(() => {}); // a query will say what is wrong
  }
}

async function info(req, res) {
  const ddoc = await req.db.get(`_design/${req.params.name}`);
  const indexes = await openIndexes(req.db, ddoc);
  const { update_seq: updateSeq } = await req.db.info();
  const sequences = await Promise.all(indexes.map(indexedUpTo));
  const isComplete = indexes.length === Object.keys(ddoc.views ?? {}).length;
  const pending = updateSeq - (isComplete ? Math.min(updateSeq, ...sequences) : 0);
  const bytes = await Promise.all(indexes.map((index) => folderBytes(index.db)));
  if (pending > 0) {
    indexInBackground(req.db, ddoc, req.params.name);
  }
  sendJson(res, 200, {
    name: req.params.name,
    view_index: {
      signature: signatureOf(ddoc),
      language: ddoc.language ?? 'javascript',
      sizes: sizesOf(bytes.reduce((sum, size) => sum + size, 0)),
      updater_running: pending > 0,
      updates_pending: { total: pending, minimum: pending, preferred: pending },
      compact_running: false,
      waiting_clients: 0,
      waiting_commit: false,
      purge_seq: 0,
      update_seq: Math.min(updateSeq, ...sequences),
    },
  });
}

async function list(req, res) {
  const range = { startkey: '_design/', endkey: '_design0', inclusive_end: false };
  const { total_rows: total, rows } = await req.db.allDocs({
    ...range, include_docs: req.query.include_docs === 'true',
  });
  sendJson(res, 200, { total_rows: total, offset: 0, rows });
}

function mount(app) {
  app.get('/:db/_design_docs', handle(list));
  app.get('/:db/_design/:name/_info', handle(info));
}

module.exports = { mount };
