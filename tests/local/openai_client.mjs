// OpenAI's Node client against the API: node openai_client.mjs URL KEY IMAGE MASK OUT
import { createReadStream, writeFileSync } from "node:fs";
import OpenAI from "openai";

const [url, key, image, mask, out] = process.argv.slice(2);
const client = new OpenAI({ baseURL: url, apiKey: key });

const drawn = await client.images.generate({
  prompt: "a red circle on a white background",
  response_format: "b64_json",
  seed: 3,
});
const edited = await client.images.edit({
  image: createReadStream(image),
  mask: createReadStream(mask),
  prompt: "a blue circle on a white background",
  response_format: "b64_json",
  seed: 3,
});
writeFileSync(`${out}/drawn.png`, Buffer.from(drawn.data[0].b64_json, "base64"));
writeFileSync(`${out}/edited.png`, Buffer.from(edited.data[0].b64_json, "base64"));

const models = [];
for await (const model of client.models.list()) models.push(model.id);
const retrieved = await client.models.retrieve(models[0]);

const named = async (call) => {
  try {
    await call();
  } catch (error) {
    return [error.constructor.name, error.code];
  }
};
const errors = [
  await named(() => client.images.generate({ prompt: "" })),
  await named(() => client.models.retrieve("h100")),
  await named(() => client.withOptions({ apiKey: "wrong" }).models.list()),
];
console.log(JSON.stringify({ usage: drawn.usage, models, retrieved: retrieved.id, errors }));
