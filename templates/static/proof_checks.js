// The checks of rules/verification.py, in plain JavaScript. Pure: the same proof has the same checks.
// Everything is hex: SHA-256 of bytes in hex is solver.fingerprint.
function checkProof(solver, proof, ticket) {
  "use strict";
  const sha = solver.fingerprint, checks = [];
  const hex = text => Array.from(new TextEncoder().encode(text), byte => byte.toString(16).padStart(2, "0")).join("");
  const fraction = digest => parseInt(digest.slice(0, 13), 16) / 4503599627370496;
  const say = (is, name, told) => { checks.push({ is: is, name: name, told: told }); return is; };
  const fits = (isRight, name, right, wrong) => say(isRight ? "fits" : "wrong", name, isRight ? right : wrong);
  const seed = proof.seed, spin = proof.spin, source = proof.spin_source, roster = proof.roster, mine = proof.ticket;

  if (seed === null) say("open", "Seed", "Its fingerprint is " + proof.commitment + ". The seed is revealed at the opening.");
  else fits(sha(seed) === proof.commitment, "Seed", "It is the one whose fingerprint was published before.", "It is another one than was promised.");
  checkSpin();
  checkMoves();
  if (seed !== null && ticket) checkTicket();
  return checks;

  function named() {
    if (source.kind === "drand") return "the public beacon drand, round " + source.round;
    return source.kind === "manual" ? "a value typed before a witness" : "nothing but the seed";
  }

  function checkSpin() {
    if (spin === null) return say("open", "Spin", "It will come from " + named() + ".");
    if (source.kind === "none") {
      const why = source.missed ? " It was to come from " + source.missed + ", which did not answer in time." : "";
      return fits(spin === 0, "Spin", "The draw was not turned: it rests on the seed alone." + why, "The draw was turned by nothing that is named.");
    }
    const isOurs = source.randomness !== null && fraction(sha(hex("wr-spin\0") + source.randomness)) === spin;
    fits(isOurs, "Spin", spin.toFixed(6) + " follows from " + named() + ".", "It does not follow from the randomness that is named.");
    if (source.kind === "drand") fits(sha(source.signature || "") === source.randomness, "Beacon", "The randomness is the hash of the beacon's signature.", "The randomness is not the hash of the signature.");
    if (source.kind === "manual") fits(hex(source.value || "") === source.randomness, "Value", "“" + source.value + "” was typed. Ask the witness.", "The value is not the randomness.");
  }

  function checkMoves() {
    const lanes = {};
    let isRight = true;
    proof.admissions.forEach(moved => {
      const before = lanes[moved.lane];
      if (before && (before.serving > moved.serving || before.at_ms > moved.at_ms)) isRight = false;
      lanes[moved.lane] = moved;
    });
    const first = proof.admissions[0];
    if (!first) return say("open", "Calls", "Nobody has been called yet.");
    if (proof.starts_ms !== null && first.at_ms < proof.starts_ms) isRight = false;
    fits(isRight, "Calls", "The line only ever moved on, from the opening on.", "The line moved back, or began before the opening.");
  }

  function checkTicket() {
    const score = solver.score(seed, ticket);
    fits(!mine || mine.ticket_id === ticket && mine.score === score, "Your number", "The seed gives " + score.toFixed(6) + " to your ticket.", "The seed gives your ticket another number than the proof says.");
    if (!mine || roster.merkle_root === null) say("open", "Roster", "Whether your ticket was in the draw is shown once the roster is published.");
    else checkRoster(score);
    if (spin === null) return say("open", "Your turn", "The draw has not been turned yet.");
    const turn = (score - spin + 1) % 1;
    const place = mine && mine.place !== null ? ", place " + mine.place.toLocaleString("en") : "";
    fits(!mine || mine.turn === turn, "Your turn", "Number and spin give " + turn.toFixed(6) + place + ".", "Number and spin give another turn than the proof says.");
    const call = proof.admissions.find(moved => moved.serving >= turn);
    if (mine && mine.called_at_ms !== (call ? call.at_ms : null)) return say("wrong", "Your call", "The line came to your turn at another time than the proof says.");
    if (!call) return say("open", "Your call", "The line has not come to you yet.");
    say("fits", "Your call", "The line came to you at " + new Date(call.at_ms).toLocaleTimeString() + ".");
  }

  function checkRoster(score) {
    const count = roster.count, index = mine.inclusion.index;
    fits(rootOf(sha("00" + hex(ticket)), index, count, mine.inclusion.path) === roster.merkle_root, "Roster", "Your ticket is number " + (index + 1).toLocaleString("en") + " of " + count.toLocaleString("en") + " under the published root.", "Your ticket is not where the published roster should have it.");
    const away = Math.abs(index - score * count), spread = Math.sqrt(score * (1 - score) * count);
    fits(away <= 6 * spread + 6, "Evenness", "About as many stand before it as its number says.", "Far more or fewer stand before it than its number says: somebody was slipped in.");
  }

  // RFC 9162 §2.1.3.2.
  function rootOf(hash, index, count, path) {
    let at = index, last = count - 1;
    if (!(index >= 0 && index < count)) return null;
    for (const other of path) {
      if (last === 0) return null;
      if (at % 2 || at === last) {
        hash = sha("01" + other + hash);
        while (at && at % 2 === 0) {
          at = Math.floor(at / 2);
          last = Math.floor(last / 2);
        }
      } else hash = sha("01" + hash + other);
      at = Math.floor(at / 2);
      last = Math.floor(last / 2);
    }
    return last === 0 ? hash : null;
  }
}

if (typeof module === "object") module.exports = checkProof;
