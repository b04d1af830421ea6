// The reader's chats as a page.

import { ChatList } from "./chat_list.js";
import { listen } from "./news.js";

const chats = new ChatList(
  document.getElementById("chats"),
  document.getElementById("main").dataset.user,
);

listen((news) => {
  if (news && news.type !== "message") return;
  if (news) chats.unread.hear(news);
  chats.refresh();
});
chats.refresh();
