// Conversations in the browser's own database. A browser that keeps nothing has them for as long as the page is open.
import { type Chat, type Head, headOf } from "./types";

const NAME = "llama-orch";
const VERSION = 1;
const HEADS = "heads";
const CHATS = "chats";

const memory = new Map<string, Chat>();
let opened: Promise<IDBDatabase | null> | undefined;

function done<T>(request: IDBRequest<T>): Promise<T> {
  return new Promise((resolve, reject) => {
    request.onsuccess = () => resolve(request.result);
    request.onerror = () => reject(request.error ?? new Error("the browser's database failed"));
  });
}

function committed(transaction: IDBTransaction): Promise<void> {
  return new Promise((resolve, reject) => {
    transaction.oncomplete = () => resolve();
    transaction.onabort = transaction.onerror = () => reject(transaction.error ?? new Error("the browser's database failed"));
  });
}

function database(): Promise<IDBDatabase | null> {
  opened ??= new Promise((resolve) => {
    try {
      const request = indexedDB.open(NAME, VERSION);
      request.onupgradeneeded = () => {
        request.result.createObjectStore(HEADS, { keyPath: "id" });
        request.result.createObjectStore(CHATS, { keyPath: "id" });
      };
      request.onsuccess = () => {
        // A later version of the page, in another tab, may need the database for itself.
        request.result.onversionchange = () => request.result.close();
        resolve(request.result);
      };
      request.onerror = request.onblocked = () => resolve(null);
    } catch {
      resolve(null);
    }
  });
  return opened;
}

/** Whether conversations outlive the page. */
export const isKept = async (): Promise<boolean> => (await database()) !== null;

/** All of them, the last one changed at the head. */
export async function heads(): Promise<Head[]> {
  const db = await database();
  const all: Head[] = db ? await done(db.transaction(HEADS).objectStore(HEADS).getAll()) : [...memory.values()].map(headOf);
  return all.sort((a, b) => b.updated - a.updated);
}

export async function read(id: string): Promise<Chat | undefined> {
  const db = await database();
  return db ? done(db.transaction(CHATS).objectStore(CHATS).get(id)) : memory.get(id);
}

export async function all(): Promise<Chat[]> {
  const db = await database();
  return db ? done(db.transaction(CHATS).objectStore(CHATS).getAll()) : [...memory.values()];
}

export async function write(chat: Chat): Promise<void> {
  const db = await database();
  if (!db) return void memory.set(chat.id, chat);
  const transaction = db.transaction([HEADS, CHATS], "readwrite");
  transaction.objectStore(CHATS).put(chat);
  transaction.objectStore(HEADS).put(headOf(chat));
  await committed(transaction);
}

export async function remove(ids: string[]): Promise<void> {
  const db = await database();
  if (!db) return ids.forEach((id) => memory.delete(id));
  const transaction = db.transaction([HEADS, CHATS], "readwrite");
  for (const id of ids) {
    transaction.objectStore(CHATS).delete(id);
    transaction.objectStore(HEADS).delete(id);
  }
  await committed(transaction);
}
