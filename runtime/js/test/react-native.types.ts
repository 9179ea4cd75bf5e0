/** What has no device here is held to the types of its packages: a compiler refuses this file where they do not fit. */
import type * as reactNative from "onnxruntime-react-native";
import type * as files from "react-native-fs";
import type { FileSystem } from "../src/react-native.js";
import type { Ort } from "../src/tensors.js";

export const runtime = (module: typeof reactNative): Ort => module;
export const fileSystem = (module: typeof files): FileSystem => module;
