'use strict';

// Authentication. CouchDB 3.x has no "admin party": every path but /, /_up, /_session and /_uuids needs credentials.
// The stand-in has one user, the administrator, by password or by cookie.
// https://docs.couchdb.org/en/stable/api/server/authn.html

const { createHash, createHmac, randomBytes, timingSafeEqual } = require('node:crypto');
const { parseJson, readBody } = require('./body');
const { CouchError, handle, sendJson } = require('./http');

const OPEN_PATHS = new Set(['/', '/_session', '/_up', '/_uuids']);
const COOKIE_LIFE_S = 600;
const ANONYMOUS = { name: null, roles: [] };

function equal(left, right) {
  const digest = (text) => createHash('sha256').update(text).digest();
  return timingSafeEqual(digest(left), digest(right));
}

class Cookies {
  constructor(user) {
    this.user = user;
    this.secret = randomBytes(32);
  }

  sign(text) {
    return createHmac('sha256', this.secret).update(text).digest('hex');
  }

  issue() {
    const claim = `${Buffer.from(this.user).toString('hex')}:${Math.floor(Date.now() / 1000).toString(16)}`;
    return `AuthSession=${claim}:${this.sign(claim)}; Version=1; Path=/; HttpOnly; Max-Age=${COOKIE_LIFE_S}`;
  }

  isValid(header) {
    const match = /(?:^|;\s*)AuthSession=([0-9a-f]+:([0-9a-f]+)):([0-9a-f]{64})(?:;|$)/.exec(header);
    if (!match) {
      return false;
    }
    const ageS = Date.now() / 1000 - parseInt(match[2], 16);
    return ageS < COOKIE_LIFE_S && equal(match[3], this.sign(match[1]));
  }
}

// Returns the "name:password" of a header, or undefined. CouchDB passes over headers of other schemes.
function basicOf(authorization = '') {
  const [, encoded] = /^Basic +(.*)$/.exec(authorization) ?? [];
  if (encoded === undefined) {
    return undefined;
  }
  if (!/^[A-Za-z0-9+/]*={0,2}$/.test(encoded)) {
    throw new CouchError(400, 'bad_request', 'Authorization header has invalid base64 value');
  }
  const given = Buffer.from(encoded, 'base64').toString();
  return given.includes(':') ? given : undefined;
}

function authenticate({ user, password }, cookies) {
  const admin = { name: user, roles: ['_admin'] };
  return (req, res, next) => {
    const { authorization, cookie } = req.headers;
    const basic = basicOf(authorization);
    if (basic !== undefined && !equal(basic, `${user}:${password}`)) {
      throw new CouchError(401, 'unauthorized', 'Name or password is incorrect.');
    }
    req.isBasic = basic !== undefined;
    const known = req.isBasic || (cookie && cookies.isValid(cookie));
    if (!known && !OPEN_PATHS.has(req.path)) {
      throw new CouchError(401, 'unauthorized', 'You are not authorized to access this db.');
    }
    req.userCtx = known ? admin : ANONYMOUS;
    next();
  };
}

function session(app, { user, password }, cookies) {
  app.get('/_session', (req, res) => {
    const info = { authentication_handlers: ['cookie', 'default'] };
    if (req.userCtx.name !== null) {
      info.authenticated = req.isBasic ? 'default' : 'cookie';
    }
    sendJson(res, 200, { ok: true, userCtx: req.userCtx, info });
  });
  app.post('/_session', handle(async (req, res) => {
    const body = await readBody(req);
    const isForm = /^application\/x-www-form-urlencoded/.test(req.headers['content-type'] || '');
    const given = isForm ? Object.fromEntries(new URLSearchParams(body.toString())) : parseJson(body);
    if (!equal(`${given?.name}:${given?.password}`, `${user}:${password}`)) {
      throw new CouchError(401, 'unauthorized', 'Name or password is incorrect.');
    }
    res.setHeader('Set-Cookie', cookies.issue());
    sendJson(res, 200, { ok: true, name: user, roles: ['_admin'] });
  }));
  app.delete('/_session', (req, res) => {
    res.setHeader('Set-Cookie', 'AuthSession=; Version=1; Path=/; HttpOnly; Max-Age=0');
    sendJson(res, 200, { ok: true });
  });
}

function mount(app, credentials) {
  const cookies = new Cookies(credentials.user);
  app.use(authenticate(credentials, cookies));
  session(app, credentials, cookies);
}

module.exports = { mount };
