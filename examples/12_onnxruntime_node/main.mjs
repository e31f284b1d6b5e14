// onnxruntime-node runs an instrumented model and records what it computed.
//     npm install --ignore-scripts onnxruntime-node
import { readFileSync, writeFileSync } from "node:fs";
import { createRequire } from "node:module";

import { Recorder } from "./aligner_record.mjs";

const { InferenceSession, Tensor } = createRequire(import.meta.url)("onnxruntime-node");
const [model, pixels, recording] = process.argv.slice(2);
const size = 32;
const bytes = readFileSync(pixels);
const image = new Float32Array(3 * size * size);
for (let at = 0; at < size * size; ++at) {
  for (let channel = 0; channel < 3; ++channel) {
    image[channel * size * size + at] = bytes[3 * at + channel] / 255;
  }
}
const session = await InferenceSession.create(model, { graphOptimizationLevel: "disabled" });
const recorder = new Recorder();
recorder.add("image", image, [1, 3, size, size]);
recorder.addResults(await session.run({ image: new Tensor("float32", image, [1, 3, size, size]) }));
writeFileSync(recording, recorder.bytes());
