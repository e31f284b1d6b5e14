// Record named tensors of a run into .safetensors bytes, which `align compare MODEL run.safetensors --dump-of MODEL` takes
// as a side. For Node and browsers, no dependency. License: Apache-2.0.
//
//     const recorder = new Recorder();
//     recorder.addResults(await session.run(feeds));             // onnxruntime-node, onnxruntime-web
//     recorder.add("probs", new Float32Array([…]), [1, 10]);     // anything else
//     await writeFile("run.safetensors", recorder.bytes());      // Node
//     recorder.download("run.safetensors");                      // a browser

const WORDS = new Map([
  ["Float64Array", "F64"], ["Float32Array", "F32"], ["BigInt64Array", "I64"], ["BigUint64Array", "U64"],
  ["Int32Array", "I32"], ["Uint32Array", "U32"], ["Int16Array", "I16"], ["Uint16Array", "U16"], ["Int8Array", "I8"],
  ["Uint8Array", "U8"], ["Float16Array", "F16"],
]);
const TYPES = new Map([["float16", "F16"], ["bool", "BOOL"]]);  // of ONNX Runtime, where the array does not tell

export class Recorder {
  #entries = new Map();

  /** Copies a tensor: a typed array and its shape; `type` says what the array does not ("float16", "bool"). */
  add(name, data, shape, type) {
    const word = TYPES.get(type) ?? WORDS.get(data.constructor.name);
    if (word === undefined) throw new TypeError(`${name} is no tensor of numbers: ${data.constructor.name}`);
    if (this.#entries.has(name)) throw new Error(`recorded twice: ${name}`);
    const bytes = new Uint8Array(data.buffer, data.byteOffset, data.byteLength).slice();
    this.#entries.set(name, { word, shape: Array.from(shape, Number), bytes });
  }

  /** Every tensor that ONNX Runtime gave back; what has no numbers (strings) is left out. */
  addResults(results) {
    for (const [name, tensor] of Object.entries(results)) {
      if (tensor.type !== "string") this.add(name, tensor.data, tensor.dims, tensor.type);
    }
  }

  /** The file. */
  bytes() {
    const header = {};
    let end = 0;
    for (const [name, { word, shape, bytes }] of this.#entries) {
      header[name] = { dtype: word, shape, data_offsets: [end, end + bytes.length] };
      end += bytes.length;
    }
    let text = new TextEncoder().encode(JSON.stringify(header));
    const padded = Math.ceil(text.length / 8) * 8;
    const file = new Uint8Array(8 + padded + end).fill(32, 8, 8 + padded);
    new DataView(file.buffer).setBigUint64(0, BigInt(padded), true);
    file.set(text, 8);
    let at = 8 + padded;
    for (const { bytes } of this.#entries.values()) {
      file.set(bytes, at);
      at += bytes.length;
    }
    return file;
  }

  /** In a browser: hand the file to the user. */
  download(filename) {
    const link = document.createElement("a");
    link.href = URL.createObjectURL(new Blob([this.bytes()]));
    link.download = filename;
    link.click();
    URL.revokeObjectURL(link.href);
  }
}
