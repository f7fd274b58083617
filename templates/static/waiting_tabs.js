// One browser, many tabs: one of them works, the others look on.
const channel = window.BroadcastChannel ? new BroadcastChannel(base) : null;

function tell(note) {
  if (channel) channel.postMessage(note);
}

if (channel) channel.onmessage = ({ data }) => {
  if (data.work) {
    if (me.elsewhere) me.work = data.work;
    paint();
    return;
  }
  if (me.turn === "in") return;
  if (data.is === "left") halt("left");
  else {
    me.stop = null;
    me.asked = me.elsewhere = false;
  }
  wake();
};

async function alone(job) {
  if (navigator.locks) {
    return navigator.locks.request(base, { ifAvailable: true }, async lock => {
      if (!lock) return false;
      await job();
      return true;
    });
  }
  // Without Web Locks (plain http): a lease in the storage that the tabs share, renewed while it is used.
  const others = () => {
    const held = store.get("lease");
    return held && held.tab !== tab && held.until_ms > Date.now();
  };
  const renew = () => store.set("lease", { tab: tab, until_ms: Date.now() + 3000 });
  if (others()) return false;
  renew();
  await pause(50 + 50 * Math.random());
  if (others()) return false;
  const timer = setInterval(renew, 1000);
  try {
    await job();
    return true;
  } finally {
    clearInterval(timer);
    store.set("lease", null);
  }
}
