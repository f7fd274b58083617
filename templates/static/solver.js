// The proof of work, as rules/challenges.py has it, in plain JavaScript: no WebCrypto, no WASM, no secure context.
// It stands alone: its own text is what runs inside the worker.
function makeSolver() {
  "use strict";
  var roundKeys = new Int32Array(64), initial = new Int32Array(8), w = new Int32Array(64);

  // The constants of SHA-256: fractions of the square and cube roots of the first primes.
  for (var found = 0, n = 2; found < 64; n++) {
    for (var q = 2; q * q <= n && n % q; q++);
    if (q * q > n) {
      if (found < 8) initial[found] = fraction(Math.sqrt(n));
      roundKeys[found++] = fraction(Math.cbrt(n));
    }
  }

  function fraction(x) {
    return (x - Math.floor(x)) * 4294967296 | 0;
  }

  // Carry the block in w from state `s` into state `o`.
  function compress(s, o) {
    var a = s[0], b = s[1], c = s[2], d = s[3], e = s[4], f = s[5], g = s[6], h = s[7], i, x, y, t, u;
    for (i = 16; i < 64; i++) {
      x = w[i - 15];
      y = w[i - 2];
      w[i] = w[i - 16] + ((x >>> 7 | x << 25) ^ (x >>> 18 | x << 14) ^ x >>> 3)
        + w[i - 7] + ((y >>> 17 | y << 15) ^ (y >>> 19 | y << 13) ^ y >>> 10) | 0;
    }
    for (i = 0; i < 64; i++) {
      t = h + ((e >>> 6 | e << 26) ^ (e >>> 11 | e << 21) ^ (e >>> 25 | e << 7)) + (g ^ e & (f ^ g)) + roundKeys[i] + w[i] | 0;
      u = ((a >>> 2 | a << 30) ^ (a >>> 13 | a << 19) ^ (a >>> 22 | a << 10)) + (a & b | c & (a | b)) | 0;
      h = g; g = f; f = e; e = d + t | 0; d = c; c = b; b = a; a = t + u | 0;
    }
    o[0] = s[0] + a; o[1] = s[1] + b; o[2] = s[2] + c; o[3] = s[3] + d;
    o[4] = s[4] + e; o[5] = s[5] + f; o[6] = s[6] + g; o[7] = s[7] + h;
  }

  // SHA-256 of a list of bytes, as eight words.
  function hash(list) {
    var n = list.length, size = (n + 72 >> 6) << 4, words = new Int32Array(size), s = new Int32Array(initial), i, j;
    for (i = 0; i < n; i++) words[i >> 2] |= list[i] << 24 - (i & 3) * 8;
    words[n >> 2] |= 128 << 24 - (n & 3) * 8;
    words[size - 1] = n * 8;
    for (i = 0; i < size; i += 16) {
      for (j = 0; j < 16; j++) w[j] = words[i + j];
      compress(s, s);
    }
    return s;
  }

  function bytes(text) {
    return Array.from(text, function (c) { return c.charCodeAt(0); });
  }

  function fromHex(text) {
    return (text.match(/../g) || []).map(function (pair) { return parseInt(pair, 16); });
  }

  function wordBytes(words) {
    return Array.from(words).reduce(function (out, x) { return out.concat(x >>> 24, x >>> 16 & 255, x >>> 8 & 255, x & 255); }, []);
  }

  function hex(words) {
    return Array.from(words, function (x) { return (x >>> 0).toString(16).padStart(8, "0"); }).join("");
  }

  function hmac(key, message) {
    function pad(x) {
      return bytes("x".repeat(64)).map(function (_, i) { return x ^ key[i]; });
    }
    return hash(pad(92).concat(wordBytes(hash(pad(54).concat(message)))));
  }

  // Put the chain where `nonces` left it, so that a reload goes on instead of starting again.
  function start(challenge, nonces) {
    var raw = bytes(atob(challenge.replace(/-/g, "+").replace(/_/g, "/")));
    var state = { steps: raw[10], bits: raw[11], at: hash(bytes("wr1-seed\0").concat(raw)), nonces: nonces.slice(), nonce: 0 };
    nonces.forEach(function (nonce) { state.at = hash(wordBytes(state.at).concat(wordBytes([nonce]))); });
    return state;
  }

  // Try at most `budget` nonces of the present step; true when the last step is found.
  function work(state, budget) {
    var at = state.at, bits = state.bits, n = state.nonce, out = new Int32Array(8), j;
    if (state.nonces.length >= state.steps) return true;
    for (; budget--; n++) {
      for (j = 0; j < 8; j++) w[j] = at[j];
      w[8] = n;
      w[9] = -2147483648;
      for (j = 10; j < 15; j++) w[j] = 0;
      w[15] = 288;
      compress(initial, out);
      if (Math.clz32(out[0]) >= bits) {
        state.at = out;
        state.nonces.push(n);
        state.nonce = 0;
        return state.nonces.length >= state.steps;
      }
    }
    state.nonce = n;
    return false;
  }

  function solution(state) {
    var text = String.fromCharCode.apply(null, wordBytes(state.nonces));
    return btoa(text).replace(/\+/g, "-").replace(/\//g, "_").replace(/=+$/, "");
  }

  // A ticket's score in the draw (see the proof page): the first 52 bits of HMAC(seed, ticket id), over 2^52.
  function score(seed, ticket) {
    var h = hmac(fromHex(seed), bytes(ticket));
    return ((h[0] >>> 0) * 1048576 + (h[1] >>> 12)) / 4503599627370496;
  }

  // SHA-256 of bytes given in hex: of a seed, what is published before the draw.
  function fingerprint(seed) {
    return hex(hash(fromHex(seed)));
  }

  return { fingerprint: fingerprint, start: start, work: work, solution: solution, score: score };
}

// What runs inside the worker: a challenge in, each found step out.
function workerBody(solver) {
  onmessage = function (event) {
    var state = solver.start(event.data.challenge, event.data.nonces), steps = -1, told = 0, hashes = 0, done;
    do {
      done = solver.work(state, 8192);
      hashes += 8192;
      if (done || state.nonces.length !== steps || Date.now() - told > 500) {
        steps = state.nonces.length;
        told = Date.now();
        postMessage({ nonces: state.nonces, hashes: hashes });
      }
    } while (!done);
  };
}

if (typeof module === "object") module.exports = makeSolver;
