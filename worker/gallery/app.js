"use strict";
/* The contact sheet's program. Text from a catalog only ever becomes text: no markup is made from
   strings here, and the page's policy forbids it. */
(() => {
  const PAGE_PRODUCTS = 18;
  const SHOWN_REFERENCES = 3;
  const TROUBLE = ["failed", "blocked", "review", "cancelled", "reused", "succeeded"];
  const meta = JSON.parse(byId("meta").textContent);
  const ratios = new Map(Object.entries(meta.ratios));
  const reasons = new Map(Object.entries(meta.reasons));

  const products = [];
  const wanted = { words: [], status: new Set(), scene: new Set(), sort: "feed" };
  let groups = [];
  let row = [];
  let drawn = 0;
  let arrived = 0;
  let open = null;

  // Data ---------------------------------------------------------------------------------------

  window.skuscene = {
    /** Called by each data file, in order. */
    chunk(number, some) {
      for (const product of some) products.push(completed(product));
      arrived += 1;
      select({ keep: wanted.sort === "feed" });
    },
  };

  function completed(product) {
    product.references ??= [];
    product.title ??= "";
    product.cost = 0;
    product.rank = TROUBLE.length;
    product.words = fold([product.title, product.product, ...(product.skus ?? [])].join("\n"));
    for (const render of product.renders) {
      render.product = product;
      render.images ??= [];
      render.words = fold(render.sku);
      render.rank = TROUBLE.indexOf(render.status);
      product.cost += render.cost;
      product.rank = Math.min(product.rank, render.rank);
    }
    return product;
  }

  function fold(text) {
    return text.normalize("NFKD").replace(/\p{M}/gu, "").toLowerCase();
  }

  // What is shown ------------------------------------------------------------------------------

  /** Work out what the filters leave. `keep` leaves what is drawn: more came at the end. */
  function select({ keep = false } = {}) {
    groups = [];
    for (const product of products) {
      const renders = product.renders.filter((render) => fits(render));
      if (renders.length) groups.push({ product, renders });
    }
    if (wanted.sort !== "feed") sort(wanted.sort);
    row = groups.flatMap((group) => group.renders);
    tell();
    if (keep && drawn) return drawIfNear();
    byId("wall").replaceChildren();
    drawn = 0;
    draw();
  }

  function fits(render) {
    return (
      (!wanted.status.size || wanted.status.has(render.status)) &&
      (!wanted.scene.size || wanted.scene.has(render.scene)) &&
      wanted.words.every((word) => render.product.words.includes(word) || render.words.includes(word))
    );
  }

  function sort(by) {
    const order = by === "cost" ? (a, b) => b.cost - a.cost : (a, b) => a.rank - b.rank;
    groups.sort((a, b) => order(a.product, b.product));
    for (const group of groups) group.renders.sort(order);
  }

  function tell() {
    const count = (n, word) => `${n.toLocaleString("en-US")} ${word}${n === 1 ? "" : "s"}`;
    byId("count").textContent = `${count(row.length, "render")} of ${count(groups.length, "product")}`;
    byId("none").hidden = row.length > 0 || arrived < meta.data_files.length;
    byId("clear").hidden = !(wanted.words.length || wanted.status.size || wanted.scene.size);
  }

  // The wall -----------------------------------------------------------------------------------

  function draw() {
    const some = groups.slice(drawn, drawn + PAGE_PRODUCTS);
    drawn += some.length;
    byId("wall").append(...some.map(panel));
    if (some.length) requestAnimationFrame(drawIfNear);
  }

  // An observer speaks up only when the end comes into sight, not when it stays there.
  function drawIfNear() {
    const near = byId("more").getBoundingClientRect().top < innerHeight * 2.5;
    if (near && drawn < groups.length) draw();
  }

  function panel({ product, renders }) {
    const shots = make("ul", { className: "shots" }, renders.map(shot));
    const node = make("section", { className: "product" }, [
      make("header", {}, [
        make("h2", { textContent: product.title || product.product, dir: "auto" }),
        make("p", { className: "sku", textContent: skuLine(product, renders), dir: "auto" }),
      ]),
      make("div", { className: "strip" }, [references(product), shots]),
    ]);
    node.style.setProperty("--shots", Math.min(renders.length, 4));
    return node;
  }

  function skuLine(product, renders) {
    const skus = new Set(renders.map((render) => render.sku));
    return skus.size === 1 ? renders[0].sku : `${renders[0].sku} and ${skus.size - 1} more`;
  }

  function references(product) {
    const some = product.references.slice(0, SHOWN_REFERENCES);
    const more = product.references.length - some.length;
    return make("figure", { className: "reference" }, [
      ...some.map((reference) => thumb(reference.thumb, reference, `Reference photo of ${product.title}`)),
      some.length ? null : make("div", { className: "no-photo", textContent: "no photo" }),
      make("figcaption", { textContent: more > 0 ? `Reference +${more}` : "Reference" }),
    ]);
  }

  function shot(render) {
    const words = [render.scene];
    if (render.picture > 1) words.push(`no. ${render.picture}`);
    if (render.locale) words.push(render.locale);
    const button = make("button", { type: "button", className: `shot s-${render.status}` }, [
      render.thumb === undefined ? gap(render) : renderThumb(render),
      make("span", { className: "caption" }, [
        make("span", { className: "scene", textContent: words.join(" · ") }),
        make("span", { className: "state" }, [
          make("i", { className: `dot s-${render.status}` }),
          make("span", { textContent: render.status }),
        ]),
        render.cost ? make("span", { className: "cost", textContent: dollars(render.cost) }) : null,
      ]),
    ]);
    button.addEventListener("click", () => show(render));
    render.button = button;
    return make("li", {}, [button]);
  }

  function renderThumb(render) {
    const image = render.images[render.thumb];
    return thumb(image.href, image, `${render.product.title} in the scene ${render.scene}`);
  }

  function gap(render) {
    const box = make("span", { className: `gap s-${render.status}` }, [
      make("strong", { textContent: render.reason ?? render.status }),
      make("span", { textContent: render.message ?? reasons.get(render.reason)?.[0] ?? "", dir: "auto" }),
    ]);
    box.style.setProperty("aspect-ratio", (ratios.get(render.scene) ?? "4:5").replace(":", " / "));
    return box;
  }

  function thumb(src, size, alt) {
    const image = make("img", { alt, loading: "lazy", decoding: "async", width: size.width, height: size.height });
    image.addEventListener("error", () => image.classList.add("lost"), { once: true });
    image.src = src;
    return image;
  }

  // The viewer ---------------------------------------------------------------------------------

  // Keys of the viewer; a verdict's keys will stand here too.
  const keys = new Map([
    ["ArrowLeft", () => step(-1)],
    ["ArrowRight", () => step(1)],
    ["Home", () => show(row[0])],
    ["End", () => show(row.at(-1))],
  ]);

  function show(render) {
    if (!render) return;
    open = render;
    const at = row.indexOf(render);
    byId("viewer-at").textContent = `${at + 1} of ${row.length}`;
    byId("back").disabled = at <= 0;
    byId("on").disabled = at >= row.length - 1;
    byId("viewer-title").textContent = render.product.title || render.product.product;
    byId("viewer-picture").replaceChildren(large(render));
    byId("viewer-references").replaceChildren(...largeReferences(render));
    byId("viewer-facts").replaceChildren(...facts(render));
    byId("viewer-sheet").scrollTop = 0;
    if (!byId("viewer").open) byId("viewer").showModal();
    byId("viewer").scrollTop = 0;
    for (const near of [row[at + 1], row[at - 1]]) preload(near);
    remember();
  }

  function step(by) {
    show(row[row.indexOf(open) + by]);
  }

  function preload(render) {
    if (render?.view !== undefined) new Image().src = render.images[render.view].href;
  }

  function large(render) {
    if (render.view === undefined) return gap(render);
    const image = render.images[render.view];
    const node = thumb(image.href, image, `${render.product.title} in the scene ${render.scene}`);
    node.loading = "eager";
    return node;
  }

  function largeReferences(render) {
    const { product } = render;
    const some = render.references?.map((at) => product.references[at]) ?? product.references;
    return some.map((reference, at) => {
      const link = make("a", { href: reference.href, target: "_blank", rel: "noopener" }, [
        thumb(reference.href, reference, `Reference photo ${at + 1} of ${product.title}`),
      ]);
      return make("figure", {}, [link, make("figcaption", { textContent: `Reference${some.length > 1 ? ` ${at + 1}` : ""}` })]);
    });
  }

  function facts(render) {
    const { product } = render;
    const reason = reasons.get(render.reason);
    return [
      make("p", { className: "sku", textContent: render.sku, dir: "auto" }),
      make("p", { className: "verdict" }, [
        make("i", { className: `dot s-${render.status}` }),
        make("strong", { textContent: render.status }),
        make("span", { textContent: render.cost ? dollars(render.cost) : "" }),
      ]),
      render.reason ? make("div", { className: "reason" }, [
        make("code", { textContent: render.reason }),
        make("p", { textContent: render.message ?? reason?.[0] ?? "", dir: "auto" }),
        reason ? make("p", { className: "cure" }, withCode(reason[1])) : null,
      ]) : null,
      list([
        ["Scene", [render.scene, render.picture > 1 && `picture ${render.picture}`, render.locale].filter(Boolean).join(", ")],
        ["Product", product.product],
        ["Feed row", product.row],
        ["Model", render.model],
        ["Asked for", render.asked !== render.model && render.asked],
        ["Size", [render.ratio, render.size].filter(Boolean).join(" at ")],
        ["Why", render.cause],
        ["Take", render.take > 1 && render.take],
        ["Attempts", render.attempts > 1 && render.attempts],
        ["Bought", render.bought && render.bought.replace("T", " ").replace(/\+00:00$|Z$/, " UTC")],
        ["Source type", render.source],
        ["Render", render.render?.slice(0, 12)],
      ]),
      ...section("Checks", render.checks && list(Object.entries(render.checks).map(([name, score]) => [name.replaceAll("_", " "), score]))),
      ...section("Files", render.images.length > 0 && make("ul", { className: "files" }, render.images.map(file))),
    ].filter(Boolean);
  }

  function list(pairs) {
    const some = pairs.filter(([, value]) => value !== undefined && value !== false && value !== "");
    return make("dl", {}, some.flatMap(([name, value]) => [
      make("dt", { textContent: name }),
      make("dd", { textContent: value, dir: "auto" }),
    ]));
  }

  function section(name, content) {
    return content ? [make("h3", { textContent: name }), content] : [];
  }

  function file(image) {
    const size = image.bytes < 1e6 ? `${Math.round(image.bytes / 1e3)} kB` : `${(image.bytes / 1e6).toFixed(1)} MB`;
    return make("li", {}, [
      make("a", { textContent: image.name, href: image.href, target: "_blank", rel: "noopener" }),
      make("span", { textContent: `${image.width} × ${image.height} · ${size}` }),
      make("code", { textContent: image.sha256, title: "First digits of the file's SHA-256" }),
    ]);
  }

  /** `words` between backticks become commands, with this import's ID in them. */
  function withCode(text) {
    return text.split("`").map((part, at) =>
      at % 2 ? make("code", { textContent: part.replace(/\bID\b/g, () => meta.import_id) }) : part,
    );
  }

  function closed() {
    const render = open;
    open = null;
    remember();
    if (!render) return;
    while (!byId("wall").contains(render.button ?? null) && drawn < groups.length) draw();
    render.button?.scrollIntoView({ block: "nearest" });
    render.button?.focus({ preventScroll: true });
  }

  // The address --------------------------------------------------------------------------------

  /** Keep filters and the open render in the address, so that a view can be sent to somebody. */
  function remember() {
    const view = new URLSearchParams();
    if (wanted.words.length) view.set("q", wanted.words.join(" "));
    for (const status of wanted.status) view.append("status", status);
    for (const scene of wanted.scene) view.append("scene", scene);
    if (wanted.sort !== "feed") view.set("sort", wanted.sort);
    if (open) view.set("slot", open.slot);
    history.replaceState(null, "", `#${view}`);
  }

  function recall() {
    const view = new URLSearchParams(location.hash.slice(1));
    byId("words").value = view.get("q") ?? "";
    wanted.words = split(byId("words").value);
    const asked = view.get("sort");
    wanted.sort = ["feed", "cost", "status"].includes(asked) ? asked : "feed";
    byId("sort").value = wanted.sort;
    for (const kind of ["status", "scene"]) {
      wanted[kind] = new Set(view.getAll(kind));
      for (const chip of chips(kind)) press(chip, wanted[kind].has(chip.dataset[kind]));
    }
    return view.get("slot");
  }

  function split(text) {
    return fold(text).split(/\s+/).filter(Boolean);
  }

  // Controls -----------------------------------------------------------------------------------

  function chips(kind) {
    return document.querySelectorAll(`.chip[data-${kind}]`);
  }

  function press(chip, pressed) {
    chip.setAttribute("aria-pressed", String(pressed));
  }

  function changed() {
    remember();
    select();
    if (scrollY > byId("wall").offsetTop) scrollTo({ top: byId("wall").offsetTop - 160 });
  }

  function listen() {
    byId("words").addEventListener("input", (event) => {
      wanted.words = split(event.target.value);
      changed();
    });
    byId("sort").addEventListener("change", (event) => {
      wanted.sort = event.target.value;
      changed();
    });
    for (const kind of ["status", "scene"]) {
      for (const chip of chips(kind)) {
        chip.addEventListener("click", () => {
          const word = chip.dataset[kind];
          if (!wanted[kind].delete(word)) wanted[kind].add(word);
          press(chip, wanted[kind].has(word));
          changed();
        });
      }
    }
    byId("clear").addEventListener("click", () => {
      history.replaceState(null, "", "#");
      recall();
      changed();
      byId("words").focus();
    });
    byId("back").addEventListener("click", () => step(-1));
    byId("on").addEventListener("click", () => step(1));
    byId("close").addEventListener("click", () => byId("viewer").close());
    byId("viewer").addEventListener("close", closed);
    byId("viewer").addEventListener("click", (event) => {
      if (event.target === byId("viewer-picture")) byId("viewer").close();
    });
    byId("viewer").addEventListener("keydown", (event) => {
      if (event.altKey || event.ctrlKey || event.metaKey || !keys.has(event.key)) return;
      event.preventDefault();
      keys.get(event.key)();
    });
    document.addEventListener("keydown", (event) => {
      if (event.key !== "/" || byId("viewer").open || event.target === byId("words")) return;
      event.preventDefault();
      byId("words").focus();
    });
    new IntersectionObserver(drawIfNear, { rootMargin: "150% 0px" }).observe(byId("more"));
  }

  // Small things -------------------------------------------------------------------------------

  function byId(id) {
    return document.getElementById(id);
  }

  function make(tag, properties, children = []) {
    const node = Object.assign(document.createElement(tag), properties);
    node.append(...children.filter((child) => child !== null));
    return node;
  }

  function dollars(amount) {
    return `$${amount.toFixed(4).replace(/0{1,2}$/, "")}`;
  }

  function complain() {
    const missing = meta.data_files.length - arrived;
    if (!missing) return;
    byId("trouble").textContent =
      `${missing} of ${meta.data_files.length} data files beside this page could not be loaded. ` +
      `Copy the whole gallery folder, or fetch it again with: skuscene gallery ${meta.import_id}`;
    byId("trouble").hidden = false;
  }

  const asked = recall();
  listen();
  document.addEventListener("DOMContentLoaded", () => {
    complain();
    tell();
    if (asked) show(row.find((render) => render.slot === asked));
  });
})();
