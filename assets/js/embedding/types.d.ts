/* Shapes of the embedding view. */

import type { Palette, Surface, Theme, View } from "../types";

export type Role = "original" | "retrained" | "unlearned";

/** What ui/embedding_view.py sends. */
export interface EmbeddingData {
  url: string;
  image: string;
  group: string;
  /** How many retrained networks the mean probabilities are taken over. */
  references: number;
  selected: number[];
  palette: Palette;
}

export interface MapBlob {
  header: { n: number; classes: string[]; forget: number[]; panels: Role[]; groups: string[]; voices: Role[] };
  arrays: {
    xy: Uint16Array;
    klass: Uint8Array;
    truth: Uint8Array;
    member: Uint8Array;
    forgotten: Uint8Array;
    picture: Int32Array;
    group: Uint8Array;
    probability: Uint8Array;
  };
}

/** The part of the map that is shown, in map units. */
export interface Part {
  left: number;
  low: number;
  size: number;
}

export interface Panel {
  role: Role;
  canvas: HTMLCanvasElement;
  aside: HTMLElement;
  surface: Surface;
  xy: Float32Array;
  klass: Uint8Array;
  /** Where images are now, on their way from the original's map. */
  shown: Float32Array;
}

export interface Embedding extends View<EmbeddingData> {
  theme: Theme;
  /** Null until it was loaded; `forgotten` and `focus` are then there too. */
  map: MapBlob | null;
  panels: Panel[];
  selected: Set<number>;
  /** Whether an image is to be forgotten. */
  forgotten: Uint8Array;
  /** Whether an image is drawn in full. */
  focus: Uint8Array;
  hovered: number;
  pinned: number;
  /** From the original's map to the unlearned network's, in 0..1. */
  way: number;
  playing: { start: number; calm: boolean } | null;
  part: Part;
  zoomed: boolean;
  drag: { panel: Panel; path: number[][]; wide: boolean } | null;
  note: string;
}
