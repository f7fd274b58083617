// Solving the challenge: in a worker, else in slices on the page itself; where it takes long, another way is offered.
// Resolves with the solution, or with null when it would come too late.
function solve(posed) {
  return new Promise(done => {
    const state = solver.start(posed.challenge, posed.nonces), began = Date.now(), first = posed.nonces.length;
    let worker = null, silent;
    const found = (nonces, hashes) => {
      clearTimeout(silent);
      posed.nonces = nonces;
      me.work = { done: nonces.length, steps: state.steps };
      tell({ work: me.work });
      if (nonces.length > first) store.set("work", posed);
      const spent = Date.now() - began;
      if (hashes && spent > 1500) offerSlow((state.steps - nonces.length) * Math.pow(2, state.bits) / hashes * spent / 1000);
      paint();
      const over = nonces.length >= state.steps;
      if (over || now() > posed.expires_ms) {
        if (worker) worker.terminate();
        done(over ? solver.solution({ nonces: nonces }) : null);
        return true;
      }
    };
    const onMain = () => {
      if (!silent) return;
      silent = null;
      if (worker) worker.terminate();
      const own = solver.start(posed.challenge, posed.nonces);
      let hashes = 0, known = -1;
      (function slice() {
        const until = performance.now() + 12;
        while (performance.now() < until && !solver.work(own, 1024)) hashes += 1024;
        if (own.nonces.length !== known || now() > posed.expires_ms) {
          known = own.nonces.length;
          if (found(own.nonces, hashes)) return;
        }
        setTimeout(slice, 4);
      })();
    };
    found(posed.nonces, 0);
    if (posed.nonces.length >= state.steps) return;
    // A worker that is forbidden says so with an error, or says nothing at all.
    silent = setTimeout(onMain, 4000);
    try {
      const source = "(" + workerBody + ")((" + makeSolver + ")())";
      worker = new Worker(URL.createObjectURL(new Blob([source], { type: "text/javascript" })));
      worker.onerror = onMain;
      worker.onmessage = ({ data }) => found(data.nonces, data.hashes);
      worker.postMessage({ challenge: posed.challenge, nonces: posed.nonces });
    } catch (_) {
      onMain();
    }
  });
}

function offerSlow(left_s) {
  if (left_s && left_s < 20) return;
  $("slow").classList.toggle("offered", left_s > 0);
  $("slow-text").textContent = "This device needs a while for the check: " + waitText(left_s, left_s * 1.2).toLowerCase() + ". Let it go on, or join without it and stand a little later in line.";
}
