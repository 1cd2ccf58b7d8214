'use strict';

// The welcome page, /_up for health checks, ids for documents, and a database's figures with the sizes of CouchDB
// 3.x.
// https://docs.couchdb.org/en/stable/api/server/common.html

const { jsonBody, requireJsonType } = require('./body');
const { CouchError, handle, sendJson } = require('./http');
const { folderBytes, sizesOf } = require('./sizes');
const { uuid } = require('./uuids');

const COUCHDB_VERSION = '3.5.0';
const MAX_UUIDS = 1000;
const START_TIME = '0'; // a replicator starts anew where this has changed

function uuids(req, res) {
  const count = Number(req.query.count ?? 1);
  if (!Number.isInteger(count) || count < 0) {
    throw new CouchError(400, 'query_parse_error', `Invalid value for integer: "${req.query.count}"`);
  }
  if (count > MAX_UUIDS) {
    throw new CouchError(400, 'bad_request', 'count parameter too large');
  }
  res.setHeader('Cache-Control', 'no-cache');
  sendJson(res, 200, { uuids: Array.from({ length: count }, uuid) });
}

async function infoOf({ name, pouch }) {
  const { doc_count: docCount, update_seq: updateSeq } = await pouch.info();
  return {
    db_name: name,
    purge_seq: 0,
    update_seq: updateSeq,
    sizes: sizesOf(await folderBytes(pouch)),
    props: {},
    doc_count: docCount,
    disk_format_version: 8,
    compact_running: false,
    cluster: { q: 1, n: 1, w: 1, r: 1 },
    instance_start_time: START_TIME,
  };
}

function mountServer(app) {
  app.get('/', (req, res) => sendJson(res, 200, {
    couchdb: 'Welcome', version: COUCHDB_VERSION, features: [], vendor: { name: 'embedded_couchdb' },
  }));
  app.get('/_up', (req, res) => sendJson(res, 200, { status: 'ok', seeds: {} }));
  app.get('/_uuids', uuids);
}

function mountDatabase(app) {
  app.get('/:db', handle(async (req, res) => sendJson(res, 200, await infoOf(req.database))));
  app.post('/:db/_ensure_full_commit', requireJsonType, jsonBody, (req, res) => (
    sendJson(res, 201, { ok: true, instance_start_time: START_TIME })
  ));
}

module.exports = { infoOf, mountDatabase, mountServer };
