// The tags of a post: node tag.mjs TITLE [BODY]. Needs `npm install onnxruntime-node`; for a page, onnxruntime-web and
// fetch in place of readFileSync. Texts are plain text, not HTML.

import { readFileSync, realpathSync } from "node:fs";
import { fileURLToPath } from "node:url";
import ort from "onnxruntime-node";

const path = (name) => fileURLToPath(new URL(name, import.meta.url));
const [tagNames, words] = ["tags.json", "words.json"].map((name) => JSON.parse(readFileSync(path(name), "utf8")));
const model = await ort.InferenceSession.create(path("model.onnx"));
const columns = new Map(words.vocabulary.map((term, column) => [term, column]));

const wordCharacters = "\\p{L}\\p{N}_"; // what \w means in Python
const regex = (pattern, flags) =>
  new RegExp(pattern.replaceAll("[\\w", `[${wordCharacters}`).replaceAll("\\w", `[${wordCharacters}]`), flags);
const plain = regex(`^(?:${words.plain})$`, "u");
const [token, run, character, separator] = [words.token, words.run, words.character, words.separator].map((pattern) =>
  regex(pattern, "gu"),
);

function tokenize(text) {
  text = text.replace(separator, " ").toLowerCase().normalize("NFC");
  return (plain.test(text) ? text : text.replace(run, pairs)).match(token) ?? [];
}

// Where no spaces separate words, pairs of characters are tokens.
function pairs(run) {
  const letters = run.match(character);
  return ` ${(letters.length > 1 ? letters.slice(1).map((next, i) => letters[i] + next) : letters).join(" ")} `;
}

// The probability of each tag, and whether it is predicted (1 or 0). Beside a body the title counts twice.
export async function tag(title, body = "") {
  const [first, second] = [tokenize(title), tokenize(body)];
  const counts = new Map();
  for (const tokens of title && body ? [first.concat(second), first] : [first.concat(second)])
    for (let n = 1; n <= words.max_ngram; n++)
      for (let i = 0; i + n <= tokens.length; i++) {
        const column = columns.get(tokens.slice(i, i + n).join(" "));
        if (column !== undefined) counts.set(column, (counts.get(column) ?? 0) + 1);
      }
  const { probabilities, predicted } = await model.run({
    columns: new ort.Tensor("int32", [...counts.keys()], [counts.size]),
    counts: new ort.Tensor("float32", [...counts.values()], [counts.size]),
  });
  return { probabilities: probabilities.data, predicted: predicted.data };
}

if (process.argv[1] && realpathSync(process.argv[1]) === path("tag.mjs")) {
  if (![3, 4].includes(process.argv.length)) {
    console.error("usage: node tag.mjs TITLE [BODY]");
    process.exit(1);
  }
  const { probabilities, predicted } = await tag(...process.argv.slice(2));
  const rows = tagNames.map((name, i) => [name, probabilities[i]]).filter((_, i) => predicted[i]);
  console.log(rows.sort((a, b) => b[1] - a[1]));
}
