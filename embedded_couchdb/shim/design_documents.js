'use strict';

// The state of a design document's indexes (_info), the clean-up of indexes, and compaction. The signature depends on
// the views alone: equal views under another name have the same signature and share the index.
// https://docs.couchdb.org/en/stable/api/ddoc/common.html

const { createHash } = require('node:crypto');
const { jsonBody, requireJsonType } = require('./body');
const { handle, sendJson } = require('./http');
const { namesOfViews } = require('./indexes');
const { folderBytes, sizesOf } = require('./sizes');

function signatureOf(ddoc) {
  const { views = {}, language = 'javascript', options = {} } = ddoc;
  return createHash('md5').update(JSON.stringify([views, language, options])).digest('hex');
}

// CouchDB updates indexes in the background: updates_pending falls without a query.
function indexInBackground(indexes) {
  indexes.forEach((index) => index.refresh().catch(() => {})); // a query reports what is wrong
}

async function info(req, res) {
  const ddoc = await req.database.designDocument(req.params.name);
  const indexes = namesOfViews(ddoc).map((view) => req.database.indexes.of(ddoc, view));
  const { update_seq: updateSeq } = await req.db.info();
  const sequences = await Promise.all(indexes.map((index) => index.indexedUpTo()));
  const indexedUpTo = Math.min(updateSeq, ...sequences);
  const pending = updateSeq - indexedUpTo;
  const opened = (await Promise.all(indexes.map((index) => index.opened))).filter((each) => each !== undefined);
  const bytes = await Promise.all(opened.map(({ db }) => folderBytes(db)));
  if (pending > 0) {
    indexInBackground(indexes);
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
      update_seq: indexedUpTo,
    },
  });
}

async function cleanUp(req, res) {
  const { rows } = await req.db.allDocs({ startkey: '_design/', endkey: '_design0', include_docs: true });
  await req.database.indexes.cleanUp(rows.map((row) => row.doc));
  sendJson(res, 202, { ok: true });
}

async function compact(req, res) {
  await req.db.compact();
  sendJson(res, 202, { ok: true });
}

function mount(app) {
  app.get('/:db/_design/:name/_info', handle(info));
  app.post('/:db/_view_cleanup', requireJsonType, jsonBody, handle(cleanUp));
  app.post(['/:db/_compact', '/:db/_compact/:name'], requireJsonType, jsonBody, handle(compact));
}

module.exports = { mount };
