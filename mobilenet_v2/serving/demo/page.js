// Draws what /network says once, and what /look answers for each picture. Text only ever becomes text.

const at = id => document.getElementById(id);
const number = value => value.toLocaleString("en");
const kilobytes = bytes => (bytes / 1000).toLocaleString("en", {minimumFractionDigits: 1, maximumFractionDigits: 1});
let newest = 0, mostBytes = Infinity;

function element(name, {text, ...attributes} = {}, ...children) {
  const made = Object.assign(document.createElement(name), attributes);
  made.append(...(text === undefined ? children : [text]));
  return made;
}

function bar(share) {
  const filled = element("div");
  filled.style.width = `${100 * share}%`;
  return element("div", {className: "bar"}, filled);
}

function picture(source, alt, caption) {
  const image = element("img", {src: source, alt});
  image.onload = () => image.classList.toggle("coarse", image.naturalWidth < image.width);
  return element("figure", {}, image, element("figcaption", {text: caption}));
}

function showNetwork(network) {
  mostBytes = network.most_bytes;
  at("name").textContent = network.name;
  at("about").textContent = `${number(network.classes)} classes, ${number(network.parameters)} parameters, ` +
    `${number(network.multiply_adds)} multiply-adds. Pictures: ${network.preprocessing}.`;
  at("limits").textContent = `JPEG, PNG, WebP, GIF, BMP, TIFF, PPM, JPEG 2000 or AVIF, at most ` +
    `${number(mostBytes / 1e6)} MB. It stays on this machine.`;
  const most = Math.max(...network.blocks.map(block => block.multiply_adds));
  at("blocks").replaceChildren(...network.blocks.map(block => {
    const row = element("tr", {},
      element("td", {text: block.name}), element("td", {className: "mean"}), element("td", {className: "channels"}),
      element("td", {text: block.output}), element("td", {text: number(block.parameters)}),
      element("td", {className: "adds"}, number(block.multiply_adds), bar(block.multiply_adds / most)),
      element("td", {text: kilobytes(block.peak_bytes)}));
    row.dataset.block = block.name;
    return row;
  }));
  const peak = Math.max(...network.blocks.map(block => block.peak_bytes));
  const totals = ["total", "", "", "", number(network.parameters), number(network.multiply_adds),
    kilobytes(peak)];
  at("totals").replaceChildren(element("tr", {}, ...totals.map(text => element("td", {text}))));
}

function showAnswer(name, answer, others) {
  at("seen").src = answer.seen;
  at("file-name").textContent = `${name}, as the network sees it`;
  at("classes").replaceChildren(...answer.classes.map(found => element("li", {},
    element("span", {text: found.name}),
    element("span", {className: "percent", text: `${(100 * found.probability).toFixed(1)} %`}), bar(found.probability))));
  at("remarks").replaceChildren(...answer.remarks.map(text => element("li", {text})));
  for (const row of at("blocks").rows) {
    const maps = answer.maps[row.dataset.block];
    if (!maps) continue;
    const [mean, channels] = [row.querySelector(".mean"), row.querySelector(".channels")];
    mean.replaceChildren(picture(maps.mean, `${row.dataset.block}, mean magnitude`, maps.greatest.toPrecision(3)));
    channels.replaceChildren(element("div", {}, ...maps.channels.map(channel =>
      picture(channel.image, `${row.dataset.block}, channel ${channel.index}`, channel.index))));
  }
  at("result").hidden = false;
  at("status").textContent = `Looked at ${name} in ${(1000 * answer.seconds).toFixed(0)} ms.` +
    (others ? ` One picture at a time: ${number(others)} more ${others === 1 ? "was" : "were"} left out.` : "");
}

function complain(text) {
  at("error").textContent = text;
  at("error").hidden = !text;
  if (text) [at("status").textContent, at("result").hidden] = ["", true];
  if (text) document.querySelectorAll(".mean, .channels").forEach(cell => cell.replaceChildren());
}

async function ask(path, options) {
  let response;
  try {
    response = await fetch(path, options);
  } catch {
    throw new Error("no answer: the file can't be read (is it a folder?), or the demo has ended");
  }
  const answer = await response.json();
  if (!response.ok) throw new Error(answer.error);
  return answer;
}

async function look(files) {
  const turn = ++newest, [file] = files;
  complain(file ? "" : "That was no file.");
  if (!file) return;
  const name = file.name || "the picture";
  at("status").textContent = `Looking at ${name} …`;
  try {
    if (file.size > mostBytes)
      throw new Error(`the file has ${number(file.size)} bytes, must have at most ${number(mostBytes)}`);
    const answer = await ask("look", {method: "POST", body: file});
    if (turn === newest) showAnswer(name, answer, files.length - 1);
  } catch (error) {
    if (turn === newest) complain(`${name} can't be looked at: ${error.message}`);
  }
}

at("file").addEventListener("change", event => {
  look([...event.target.files]);
  event.target.value = "";  // the same file again is a change, too
});
for (const kind of ["dragover", "dragleave", "drop"])
  document.addEventListener(kind, event => {
    event.preventDefault();
    at("drop").classList.toggle("over", kind === "dragover");
    if (kind === "drop") look([...event.dataTransfer.files]);
  });
document.addEventListener("paste", event => look([...event.clipboardData.files]));

ask("network").then(showNetwork).catch(error => complain(error.message));
