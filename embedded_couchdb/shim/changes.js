'use strict';

// _changes as CouchDB feeds it: normal, longpoll, continuous and eventsource, with heartbeat and timeout, and
// the built-in filters _design, _doc_ids, _selector and _view. A `since` that isn't one is refused.
// https://docs.couchdb.org/en/stable/api/database/changes.html

const { jsonBody, parseJson, requireJsonType } = require('./body');
const { CouchError, handle, sendJson } = require('./http');

const DEFAULT_TIMEOUT_MS = 60_000;
const FEEDS = new Set(['normal', 'longpoll', 'continuous', 'eventsource']);

function integer(query, name, fallback) {
  if (query[name] === undefined) {
    return fallback;
  }
  if (!/^\d+$/.test(query[name])) {
    throw new CouchError(400, 'query_parse_error', `Invalid value for integer: "${query[name]}" in ${name}`);
  }
  return Number(query[name]);
}

function sinceOf({ since = '0' }) {
  if (since !== 'now' && !/^"?\d+"?$/.test(since)) {
    throw new CouchError(400, 'bad_request', 'Malformed sequence supplied in \'since\' parameter.');
  }
  return since === 'now' ? 'now' : Number(since.replace(/"/g, ''));
}

function filterOf(query, body) {
  switch (query.filter) {
    case undefined:
      return {};
    case '_design':
      return { filter: (doc) => doc._id.startsWith('_design/') };
    case '_doc_ids':
      return { doc_ids: body.doc_ids ?? parseJson(query.doc_ids ?? '[]') };
    case '_selector':
      return { selector: body.selector };
    default:
      return { filter: query.filter, view: query.view, query_params: query };
  }
}

function optionsOf(req) {
  const { query, body = {} } = req;
  const options = {
    since: sinceOf(query),
    include_docs: query.include_docs === 'true',
    conflicts: query.conflicts === 'true',
    attachments: query.attachments === 'true',
    descending: query.descending === 'true',
    style: query.style ?? 'main_only',
    ...filterOf(query, body),
  };
  const limit = integer(query, 'limit');
  return limit === undefined ? options : { ...options, limit };
}

async function answer(req, res, options) {
  const { results, last_seq: lastSeq } = await req.db.changes({ ...options, return_docs: true });
  sendJson(res, 200, { results, last_seq: lastSeq, pending: 0 });
}

// A feed that stays open: what to write for a change, for a heartbeat and at the end.
const FORMATS = {
  longpoll: {
    start: '{"results":[\n',
    change: (change) => JSON.stringify(change),
    end: (seq) => `\n],\n"last_seq":${seq},"pending":0}\n`,
    beat: '\n',
  },
  continuous: {
    start: '',
    change: (change) => `${JSON.stringify(change)}\n`,
    end: (seq) => `{"last_seq":${seq},"pending":0}\n`,
    beat: '\n',
  },
  eventsource: {
    start: '',
    change: (change) => `data: ${JSON.stringify(change)}\nid: ${change.seq}\n\n`,
    end: () => '',
    beat: 'event: heartbeat\ndata: \n\n',
  },
};

function heartbeatOf(query) {
  return query.heartbeat === 'true' ? DEFAULT_TIMEOUT_MS : integer(query, 'heartbeat');
}

// Calls `end` when nothing has happened for `timeout`; a heartbeat in its place keeps the feed open.
function keepTime(res, { query }, beat, end) {
  const heartbeatMs = heartbeatOf(query);
  return heartbeatMs === undefined
    ? setTimeout(end, integer(query, 'timeout', DEFAULT_TIMEOUT_MS))
    : setInterval(() => res.write(beat), heartbeatMs);
}

// Writes changes until the limit is met, time is over, the caller goes away or the database is deleted.
function stream(req, res, { feed, options, limit, since }) {
  const format = FORMATS[feed];
  const changes = req.db.changes({ ...options, since, limit: undefined, live: true, return_docs: false });
  let seq = since;
  let left = limit;
  const end = () => {
    left = 0;
    clearTimeout(timer);
    changes.cancel();
    if (!res.writableEnded) {
      res.end(format.end(seq));
    }
  };
  const timer = keepTime(res, req, format.beat, end);
  changes.on('change', (change) => {
    if (left === 0) {
      return;
    }
    res.write(format.change(change));
    seq = change.seq;
    left -= 1;
    timer.refresh();
    if (left === 0) {
      end();
    }
  });
  changes.on('complete', end);
  changes.on('error', () => res.destroy());
  res.on('close', end);
}

function begin(res, feed) {
  const type = feed === 'eventsource' ? 'text/event-stream' : 'application/json';
  res.writeHead(200, { 'Content-Type': type, 'Cache-Control': 'no-cache' });
  res.write(FORMATS[feed].start);
  res.flushHeaders();
}

async function changes(req, res) {
  const feed = req.query.feed ?? 'normal';
  if (!FEEDS.has(feed)) {
    throw new CouchError(400, 'bad_request', `Supported feed types: ${[...FEEDS].join(', ')}`);
  }
  const options = optionsOf(req);
  if (feed === 'normal') {
    await answer(req, res, options);
    return;
  }
  // Also refuses a filter that doesn't exist, before anything is written.
  const first = await req.db.changes({ ...options, limit: 1, return_docs: true });
  if (feed === 'longpoll' && first.results.length > 0) {
    await answer(req, res, options);
    return;
  }
  begin(res, feed);
  const limit = feed === 'longpoll' ? 1 : options.limit ?? Infinity;
  const since = options.since === 'now' ? (await req.db.info()).update_seq : options.since;
  stream(req, res, { feed, options, limit, since });
}

function mount(app) {
  app.get('/:db/_changes', handle(changes));
  app.post('/:db/_changes', requireJsonType, jsonBody, handle(changes));
}

module.exports = { mount };
