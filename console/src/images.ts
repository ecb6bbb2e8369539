// Images that are sent along: read from files, and made no larger than models look at.

/** The longer side, in pixels: what vision models scale to anyway. */
const SIDE = 1536;
/** The most images of one message. */
export const IMAGES = 8;
/** The most bytes of one file that is read. */
const FILE_BYTES = 64 * 1024 * 1024;

export const isImage = (file: File): boolean => file.type.startsWith("image/");

/** An image file as a `data:` URL. Throws with a sentence for the person who chose it. */
export async function dataUrl(file: File): Promise<string> {
  if (file.size > FILE_BYTES) throw new Error(`\`${file.name}\` is larger than 64 MiB: use a smaller image`);
  let bitmap: ImageBitmap;
  try {
    bitmap = await createImageBitmap(file);
  } catch {
    throw new Error(`\`${file.name}\` is no image that this browser can read: use PNG, JPEG or WebP`);
  }
  const scale = Math.min(1, SIDE / Math.max(bitmap.width, bitmap.height));
  const canvas = document.createElement("canvas");
  canvas.width = Math.max(1, Math.round(bitmap.width * scale));
  canvas.height = Math.max(1, Math.round(bitmap.height * scale));
  canvas.getContext("2d")!.drawImage(bitmap, 0, 0, canvas.width, canvas.height);
  bitmap.close();
  return file.type === "image/png" ? canvas.toDataURL("image/png") : canvas.toDataURL("image/jpeg", 0.9);
}
