/* Shapes that several modules share; what only one view knows is in its folder. Never sent to the browser. */

export type Numbers = Float32Array | Uint8Array | Uint16Array | Int32Array;
export type RGB = number[];
export type Pair = [number, number];

export interface Palette {
  original: string;
  retrained: string;
  unlearned: string;
  classes: string[];
}

export interface Theme {
  text: RGB;
  ground: RGB;
  dark: boolean;
  accent: RGB;
  muted: RGB;
  track: RGB;
  grid: RGB;
  original: RGB;
  retrained: RGB;
  classes: string[];
  near: RGB;
  far: RGB;
  untouched: RGB;
  weak: RGB;
  strong: RGB;
  font(size: number, weight?: number): string;
}

/** `face` is the font that was set last, if by us. */
export type Pen = CanvasRenderingContext2D & { face: string };

export interface Surface {
  canvas: HTMLCanvasElement;
  pen: Pen;
  w: number;
  h: number;
}

/** What Streamlit hands to a component. */
export interface Component<D> {
  parentElement: ParentNode;
  data: D;
  setStateValue(name: string, value: unknown): void;
  setTriggerValue(name: string, value: unknown): void;
  setTriggerValue(name: string, value: unknown): void;
}

export interface Load {
  url: string | null;
  abort: AbortController;
}

/** What mount.js keeps for every view on the page. */
export interface View<D> {
  root: HTMLElement;
  $(selector: string): HTMLElement;
  component: Component<D>;
  data: D;
  /** Aborted when the view leaves the page. */
  life: AbortController;
  /** What was fetched last, or is being fetched, under each name. */
  loads: Record<string, Load>;
  /** The animation frame that was asked for, or 0. */
  frame: number;
  /** Whether size, theme or scene have changed since all that depends on them was made. */
  stale: boolean;
  paint(): void;
}

export interface Point {
  alpha: number;
  lambda: number;
}

/** A view with a point to drag, for release.js. */
export interface Draggable extends View<{ key: string }> {
  told: Point | null;
  committed: Point | null;
  awaited: Point[];
  dragging: boolean;
  held: boolean;
}

/** One of α and λ, as the server describes it. */
export interface Knob {
  ticks: number[];
  value: number;
  label: string;
  meaning: string;
  locked: boolean;
}

export interface Layer {
  name: string;
  kind: string;
  size: number;
}

/** The histogram of a scene's importance ratios. */
export interface Ratios {
  header: { layers: Layer[]; log_ratio: Pair; ceiling: number | null };
  arrays: { counts: Float32Array; inverse: Float32Array; infinite: Float32Array };
}

export interface Sums {
  layers: number;
  bins: number;
  low: number;
  step: number;
  size: Float64Array;
  infinite: ArrayLike<number>;
  count: Float64Array;
  inverse: Float64Array;
}

export interface Answers {
  share: ArrayLike<number>;
  multiplier: ArrayLike<number>;
  total: number;
}

export interface OwnAnswers extends Answers {
  share: Float64Array;
  multiplier: Float64Array;
}

declare global {
  interface Window {
    /** Set by tests: how long each frame took is then noted. */
    __lacunaMeasure?: boolean;
    __lacunaFrames?: number[];
  }
}
