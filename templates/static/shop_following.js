// An order under way, and a place on the waitlist: the page goes on by itself when there is something new.
if (page.order) {
  follow(700, async () => {
    const { data } = await read("/checkout/orders/" + page.order);
    if (data.status !== "paying" || Boolean(data.action_url) !== ("action" in page)) location.reload();
  });
}

if (page.standing === "waiting") {
  const ahead = document.querySelector("[data-ahead]"), mayReturn = document.querySelector("[data-may-return]");
  follow(2500, async () => {
    const { data } = await read("/sales/" + shop + "/waitlist");
    if (data.status !== "waiting") return location.reload();
    const text = data.units_ahead ? many(data.units_ahead, "unit", "units") + " ahead of yours" : "You are next";
    if (ahead.textContent !== text) say(ahead.textContent = text);
    mayReturn.textContent = !data.may_return ? "Everything is paid for. Only a refund or new stock brings a unit back now."
      : data.may_return === 1 ? "One unit is held by somebody who has not paid yet."
      : many(data.may_return, "unit is", "units are") + " held by others who have not paid yet.";
  });
}

if (page.place === "waiting") {
  follow(4000, async () => {
    if ((await read("/sales/" + shop + "/waitlist")).data.status !== "waiting") location.reload();
  });
}

if (page.standing === "offered") {
  document.title = "It is your turn – " + document.title;
  say("It is your turn. A unit is set aside for you.");
  follow(4000, async () => {
    if ((await read("/sales/" + shop + "/waitlist")).data.status !== "offered") location.reload();
  });
}
