// A link may bring the token behind the #: it is put into the form, taken out of the address, and sent only by the person.
(function () {
  "use strict";
  const token = document.getElementById("token"), reveal = document.getElementById("reveal");
  if (location.hash.length > 1) {
    token.value = decodeURIComponent(location.hash.slice(1));
    history.replaceState(null, "", location.pathname);
    document.getElementById("name").focus();
  }
  reveal.hidden = false;
  reveal.addEventListener("click", function () {
    const isShown = token.type === "text";
    token.type = isShown ? "password" : "text";
    reveal.textContent = isShown ? "Show" : "Hide";
    reveal.setAttribute("aria-pressed", String(!isShown));
  });
})();
