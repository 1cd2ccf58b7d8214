'use strict';

// The changes feed: normal, longpoll, continuous and eventsource, with heartbeat and timeout; the built-in filters
// _design, _doc_ids, _selector and _view, and filter functions.
// https://docs.couchdb.org/en/stable/api/database/changes.html

const { once } = require('node:events');
const { jsonBody, parseJson, requireJsonType } = require('./body');
const { call, thrownError } = require('./functions');
const { CouchError, handle, sendJson } = require('./http');
const { requestObject } = require('./request_object');
const { DATABASE_DELETED } = require('./requests');

const DEFAULT_TIMEOUT_MS = 60_000;
const BATCH_SIZE = 100;
const FEEDS = ['normal', 'longpoll', 'continuous', 'eventsource'];
const STYLES = ['main_only', 'all_docs'];

function badRequest(reason) {
  return new CouchError(400, 'bad_request', reason);
}

function oneOf(choices, value, name) {
  if (!choices.includes(value)) {
    throw badRequest(`Supported values of ${name}: ${choices.join(', ')}`);
  }
  return value;
}

function integer(query, name, fallback) {
  if (query[name] === undefined) {
    return fallback;
  }
  if (!/^-?\d+$/.test(query[name])) {
    throw new CouchError(400, 'query_parse_error', `Invalid value for integer: "${query[name]}" in ${name}`);
  }
  return Number(query[name]);
}

// CouchDB has last-event-id as a parameter, not as a header. The later one of it and `since` in the URL counts.
function sinceOf(query) {
  const name = Object.keys(query).filter((each) => each === 'since' || each === 'last-event-id').at(-1);
  const given = query[name] ?? '0';
  if (given !== 'now' && !/^"?\d+"?$/.test(given)) {
    throw badRequest('Malformed sequence supplied in \'since\' parameter.');
  }
  return given === 'now' ? 'now' : Number(given.replace(/"/g, ''));
}

function limitOf(query) {
  const limit = integer(query, 'limit', Infinity);
  return limit < 0 ? Infinity : limit; // CouchDB takes a negative limit for none
}

function heartbeatOf({ heartbeat }) {
  if (heartbeat === undefined || heartbeat === 'true') {
    return heartbeat && DEFAULT_TIMEOUT_MS;
  }
  if (!/^\d+$/.test(heartbeat) || Number(heartbeat) === 0) {
    throw badRequest('The heartbeat value should be a positive integer (in milliseconds).');
  }
  return Number(heartbeat);
}

function timeoutOf(query) {
  const timeoutMs = integer(query, 'timeout', DEFAULT_TIMEOUT_MS);
  if (timeoutMs < 0) {
    throw new CouchError(400, 'query_parse_error', 'The timeout must not be negative.');
  }
  return Math.min(timeoutMs, DEFAULT_TIMEOUT_MS);
}

// Returns the leaves of a change as documents for a filter.
async function leavesOf(db, change) {
  if (change.changes.length === 1) {
    return [change.doc];
  }
  const found = await db.get(change.id, { open_revs: change.changes.map(({ rev }) => rev) });
  return found.filter((leaf) => leaf.ok).map((leaf) => leaf.ok);
}

// Keeps the leaves that pass, and the changes that have such a leaf.
function filterByLeaf(db, passes) {
  return async (changes) => {
    const leaves = await Promise.all(changes.map((change) => leavesOf(db, change)));
    const answers = await passes(leaves.flat());
    let count = 0;
    const kept = changes.map((change, index) => {
      const ofChange = answers.slice(count, count += leaves[index].length);
      const revs = leaves[index].filter((_, leaf) => ofChange[leaf]).map(({ _rev: rev }) => ({ rev }));
      return { ...change, changes: revs };
    });
    return kept.filter((change) => change.changes.length > 0);
  };
}

function filterById(isChosen) {
  return (changes) => changes.filter(({ id }) => isChosen(id));
}

async function asked(program, argumentLists, answerOf) {
  const outcomes = await call(program, argumentLists);
  return outcomes.map((outcome) => {
    if (outcome.thrown !== undefined && program.kind !== 'map') { // a map function that throws has emitted nothing
      throw thrownError(outcome.thrown);
    }
    return answerOf(outcome);
  });
}

function docIdsFilter({ query, body = {} }) {
  const ids = body.doc_ids ?? (query.doc_ids === undefined ? undefined : parseJson(query.doc_ids));
  if (!Array.isArray(ids)) {
    throw badRequest('`doc_ids` filter parameter is not a list of doc ids.');
  }
  const chosen = new Set(ids);
  return filterById((id) => chosen.has(id));
}

async function selectorFilter({ db, method, body = {} }) {
  if (method !== 'POST') {
    throw badRequest('Selector must be specified in POST payload');
  }
  const { selector } = body;
  if (typeof selector !== 'object' || selector === null || Array.isArray(selector)) {
    throw badRequest('Selector error: expected a JSON object');
  }
  const program = { kind: 'selector', selector };
  const passes = async (docs) => (await call(program, docs.map((doc) => [doc]))).map(({ isTrue, thrown }) => {
    if (thrown !== undefined) {
      throw badRequest(thrown.error.message);
    }
    return isTrue;
  });
  await passes([{}]); // refuses a bad operator even if there is no document to match
  return filterByLeaf(db, passes);
}

function functionName(name, parameter, form) {
  const [ddoc, member, ...more] = name?.split('/') ?? [];
  if (name === undefined) {
    throw badRequest(`\`${parameter}\` filter parameter is not provided.`);
  }
  if (member === undefined || more.length > 0) {
    throw badRequest(`\`${parameter}\` must be of the form \`${form}\``);
  }
  return [ddoc, member];
}

async function viewFilter({ db, database, query }) {
  const [ddocName, view] = functionName(query.view, 'view', 'designname/viewname');
  const ddoc = await database.designDocument(ddocName);
  const source = ddoc.views?.[view]?.map;
  if (typeof source !== 'string') {
    throw new CouchError(404, 'not_found', `missing json key: ${view}`);
  }
  const program = { kind: 'map', source, ddoc };
  return filterByLeaf(db, (docs) => asked(program, docs.map((doc) => [doc]), ({ rows }) => rows?.length > 0));
}

async function functionFilter(req) {
  const [ddocName, name] = functionName(req.query.filter, 'filter', 'designname/filtername');
  const ddoc = await req.database.designDocument(ddocName);
  const source = ddoc.filters?.[name];
  if (typeof source !== 'string') {
    throw new CouchError(404, 'not_found', `missing json key: ${name}`);
  }
  const request = await requestObject(req, { body: req.body });
  const program = { kind: 'filter', source, ddoc };
  await call(program, []); // refuses a function that does not compile even if there is no document to filter
  return filterByLeaf(req.db, (docs) => asked(program, docs.map((doc) => [doc, request]), ({ isTrue }) => isTrue));
}

// Returns a function that chooses among changes, or undefined without a filter.
function filterOf(req) {
  const { filter } = req.query;
  switch (filter) {
    case undefined: return undefined;
    case '_design': return filterById((id) => id.startsWith('_design/'));
    case '_doc_ids': return docIdsFilter(req);
    case '_selector': return selectorFilter(req);
    case '_view': return viewFilter(req);
    default:
      if (filter.startsWith('_')) {
        throw badRequest('unknown builtin filter name');
      }
      return functionFilter(req);
  }
}

async function optionsOf(req) {
  const { query } = req;
  const since = sinceOf(query);
  return {
    since: since === 'now' ? (await req.db.info()).update_seq : since,
    limit: limitOf(query),
    filter: await filterOf(req),
    hasDocs: query.include_docs === 'true',
    pouch: {
      conflicts: query.conflicts === 'true',
      attachments: query.attachments === 'true',
      descending: query.descending === 'true',
      style: oneOf(STYLES, query.style ?? 'main_only', 'style'),
    },
  };
}

function withoutDoc({ doc, ...change }) {
  return change;
}

// Returns the next chosen changes after a sequence number, and the sequence number up to which it has read.
async function changesAfter(db, since, limit, { filter, hasDocs, pouch }) {
  const results = [];
  let seq = since;
  for (let isMore = true; isMore && results.length < limit;) {
    const left = limit - results.length;
    const count = pouch.descending ? Infinity : Math.max(1, filter ? BATCH_SIZE : left);
    const found = await db.changes({
      ...pouch,
      include_docs: hasDocs || filter !== undefined,
      return_docs: true,
      since: pouch.descending ? 0 : seq,
      ...(Number.isFinite(count) && { limit: count }),
    });
    const chosen = filter ? await filter(found.results) : found.results;
    const taken = chosen.slice(0, left);
    results.push(...(hasDocs ? taken : taken.map(withoutDoc)));
    const isCut = taken.length < chosen.length || (taken.length === left && found.results.length > 0);
    seq = isCut ? taken.at(-1).seq : Math.max(seq, found.last_seq);
    isMore = found.results.length === count;
  }
  return { results, last_seq: seq };
}

// Counts the changes that a limit has left out: those after the sequence number, or before it in a descending feed.
async function pendingAfter(db, seq, { limit, pouch }) {
  if (!Number.isFinite(limit)) {
    return 0;
  }
  const { results } = await db.changes({ since: pouch.descending ? 0 : seq, return_docs: true });
  return pouch.descending ? results.filter((change) => change.seq < seq).length : results.length;
}

async function answer(req, res, options) {
  const found = await changesAfter(req.db, options.since, options.limit, options);
  sendJson(res, 200, { ...found, pending: await pendingAfter(req.db, found.last_seq, options) });
}

// How an open feed begins, writes changes, writes a heartbeat and ends.
const FORMATS = {
  longpoll: {
    start: '{"results":[\n',
    changes: (changes) => changes.map((change) => JSON.stringify(change)).join(',\n'),
    end: (seq, pending) => `\n],\n"last_seq":${seq},"pending":${pending}}\n`,
    beat: '\n',
  },
  continuous: {
    start: '',
    changes: (changes) => changes.map((change) => `${JSON.stringify(change)}\n`).join(''),
    end: (seq, pending) => `{"last_seq":${seq},"pending":${pending}}\n`,
    beat: '\n',
  },
  eventsource: {
    start: '',
    changes: (changes) => changes.map((change) => `data: ${JSON.stringify(change)}\nid: ${change.seq}\n\n`).join(''),
    end: () => '',
    beat: 'event: heartbeat\ndata: \n\n',
  },
};

// An open feed. It ends at its limit, at its timeout, when the client disconnects or when the database is deleted.
class Feed {
  constructor(req, res, format, options) {
    Object.assign(this, { db: req.db, res, format, options, seq: options.since, left: options.limit });
    this.isOver = false;
    this.wake = () => {};
    const { heartbeatMs, timeoutMs } = options;
    this.timer = heartbeatMs === undefined
      ? setTimeout(() => this.end(), timeoutMs)
      : setInterval(() => res.write(format.beat), heartbeatMs);
    res.on('close', () => this.end());
    res.on(DATABASE_DELETED, () => this.end());
  }

  end() {
    this.isOver = true;
    this.wake();
  }

  async run({ isLongpoll }) {
    try {
      await this.follow(isLongpoll);
    } finally {
      this.isOver = true;
      clearTimeout(this.timer);
    }
    const pending = await pendingAfter(this.db, this.seq, this.options).catch(() => 0);
    this.res.end(this.format.end(this.seq, pending));
  }

  async follow(isLongpoll) {
    while (!this.isOver && (this.left > 0 || isLongpoll)) {
      const limit = Math.min(this.left, BATCH_SIZE);
      const { results, last_seq: seq } = await changesAfter(this.db, this.seq, limit, this.options);
      this.seq = seq;
      this.left -= results.length;
      if (results.length > 0) {
        await this.write(this.format.changes(results));
      } else {
        await this.nextChange();
      }
      if (isLongpoll && results.length > 0) {
        return;
      }
    }
  }

  async write(text) {
    this.timer.refresh();
    if (!this.isOver && !this.res.write(text)) {
      await Promise.race([once(this.res, 'drain'), once(this.res, 'close')]);
    }
  }

  // Resolves when the database has a newer change or the feed is over.
  nextChange() {
    return new Promise((resolve) => {
      const changes = this.left > 0 ? this.db.changes({ since: this.seq, live: true, return_docs: false }) : undefined;
      this.wake = () => {
        this.wake = () => {};
        changes?.cancel();
        resolve();
      };
      changes?.on('change', () => this.wake());
      changes?.on('error', () => this.end());
      if (this.isOver) {
        this.wake();
      }
    });
  }
}

function begin(res, feed) {
  const type = feed === 'eventsource' ? 'text/event-stream' : 'application/json';
  res.writeHead(200, { 'Content-Type': type, 'Cache-Control': 'no-cache' });
  res.write(FORMATS[feed].start);
  res.flushHeaders();
}

async function changes(req, res) {
  const feed = oneOf(FEEDS, req.query.feed ?? 'normal', 'feed');
  const options = {
    ...await optionsOf(req), heartbeatMs: heartbeatOf(req.query), timeoutMs: timeoutOf(req.query),
  };
  if (feed === 'normal' || options.pouch.descending) {
    await answer(req, res, options);
    return;
  }
  // A filter that fails has to fail here, while the status can still say so.
  const first = await changesAfter(req.db, options.since, Math.min(options.limit, 1), options);
  if (feed === 'longpoll' && first.results.length > 0) {
    await answer(req, res, options);
    return;
  }
  begin(res, feed);
  await new Feed(req, res, FORMATS[feed], options).run({ isLongpoll: feed === 'longpoll' });
}

function requireObject(req, res, next) {
  if (req.body !== undefined && (typeof req.body !== 'object' || req.body === null || Array.isArray(req.body))) {
    throw badRequest('Request body must be a JSON object');
  }
  next();
}

function mount(app) {
  app.get('/:db/_changes', handle(changes));
  app.post('/:db/_changes', requireJsonType, jsonBody, requireObject, handle(changes));
}

module.exports = { mount };
