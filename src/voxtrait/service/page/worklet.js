// In the audio thread: the microphone's samples as 16-bit integers, in pieces of about a twentieth of a second.

const SIZE = 2048;

class Capture extends AudioWorkletProcessor {
  constructor() {
    super();
    this.piece = new Int16Array(SIZE);
    this.filled = 0;
    this.squares = 0;
    this.port.onmessage = () => this.send(true); // The page stops: what is left over is the end.
  }

  send(last = false) {
    const samples = this.piece.slice(0, this.filled);
    const level = this.filled ? Math.sqrt(this.squares / this.filled) : 0;
    this.port.postMessage({ samples, level, last }, [samples.buffer]);
    this.filled = 0;
    this.squares = 0;
  }

  process([channels]) {
    for (const sample of channels[0] ?? []) {
      const bounded = Math.max(-1, Math.min(1, sample));
      this.piece[this.filled] = Math.round(bounded * 32767);
      this.squares += bounded * bounded;
      this.filled += 1;
      if (this.filled === SIZE) this.send();
    }
    return true;
  }
}

registerProcessor("capture", Capture);
