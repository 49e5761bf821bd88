// The folders of log.dirs and the rings in them (control/data_folders.h), over a simulated disk.
#include <gtest/gtest.h>

#include "control/data_folders.h"
#include "control/metadata/memory_store.h"
#include "tests/control_fixture.h"
#include "tests/sim/sim_disk.h"

namespace penstock::control {
namespace {

class FoldersTest : public testing::Test {
 protected:
  // A start: what is wrong, or nothing.
  std::string start(std::vector<std::string> paths) {
    auto folders = DataFolders::open(disk, prng, std::move(paths));
    if (!folders) return folders.error();
    put(folders->path(0) + "/metadata.sqlite");
    if (auto done = folders->open_others(*metadata); !done) return done.error();
    const auto rings = folders->rings(lcores);
    if (!rings) return rings.error();
    if (auto done = folders->remember(*metadata); !done) return done.error();
    places.clear();
    for (const RingPlace& place : *rings) {
      places.push_back(std::to_string(place.ring) + (place.is_there ? " in " : " new in ") +
                       folders->path(place.folder));
      put(folders->path(place.folder) + "/ring-" + std::to_string(place.ring));
    }
    return "";
  }
  void put(const std::string& path) {
    const std::string folder = path.substr(0, path.find('/'));
    if (!disk.exists(folder)) disk.make_durable_dir(folder);
    const auto file = disk.open(path, {.create = true});
    ASSERT_TRUE(file.has_value());
    disk.close(*file);
  }
  bool is_empty(const std::string& folder) {
    const auto names = disk.list(folder);
    return !names || names->empty();
  }
  // A folder whose drive is elsewhere.
  void take_away(const std::string& folder, const std::string& to) {
    disk.make_durable_dir(to);
    const std::vector<std::string> names = disk.list(folder).value();
    for (const std::string& name : names) {
      ASSERT_TRUE(disk.rename(folder + "/" + name, to + "/" + name).has_value());
    }
  }

  sim::SimClock sim_clock;
  sim::SimDisk disk{sim_clock, 1};
  Prng prng{1};
  ManualClock clock;
  MemoryStore own{clock};
  MemoryStore another{clock};  // another broker's
  MemoryStore* metadata = &own;
  size_t lcores = 1;
  std::vector<std::string> places;
};

using Places = std::vector<std::string>;

TEST_F(FoldersTest, one_folder_has_one_ring_an_lcore) {
  EXPECT_EQ(start({"a"}), "");
  EXPECT_EQ(places, (Places{"0 new in a"}));
  lcores = 3;
  EXPECT_EQ(start({"a"}), "");
  EXPECT_EQ(places, (Places{"0 in a", "1 new in a", "2 new in a"}));
  lcores = 1;
  EXPECT_EQ(start({"a"}), "") << "rings beyond the number of lcores are opened too";
  EXPECT_EQ(places, (Places{"0 in a", "1 in a", "2 in a"}));
}

TEST_F(FoldersTest, each_folder_has_a_ring_though_there_are_fewer_lcores) {
  EXPECT_EQ(start({"a", "b", "c"}), "");
  EXPECT_EQ(places, (Places{"0 new in a", "1 new in b", "2 new in c"}));
  lcores = 4;
  EXPECT_EQ(start({"a", "c", "b"}), "") << "the order of the others does not matter";
  EXPECT_EQ(places, (Places{"0 in a", "1 in b", "2 in c", "3 new in a"}));
}

TEST_F(FoldersTest, a_folder_may_be_added) {
  EXPECT_EQ(start({"a"}), "");
  EXPECT_EQ(start({"a", "b"}), "");
  EXPECT_EQ(places, (Places{"0 in a", "1 new in b"}));
}

TEST_F(FoldersTest, a_missing_folder_is_refused_by_name_and_none_is_made_in_its_place) {
  ASSERT_EQ(start({"a", "b"}), "");
  EXPECT_NE(start({"a"}).find("data folder b"), std::string::npos);
  EXPECT_NE(start({"a", "c"}).find("data folder b"), std::string::npos);
  EXPECT_TRUE(is_empty("c")) << "nothing is made before all are there";
  take_away("b", "unmounted");
  EXPECT_NE(start({"a", "b"}).find("mount its drive"), std::string::npos);
  EXPECT_TRUE(is_empty("b")) << "an empty mount point is not taken for the folder";
  EXPECT_EQ(start({"a", "unmounted"}), "") << "it may stand elsewhere";
  EXPECT_EQ(places, (Places{"0 in a", "1 in unmounted"}));
  EXPECT_NE(start({"a", "b"}).find("data folder unmounted"), std::string::npos) << "where it was last";
}

TEST_F(FoldersTest, the_folder_with_the_metadata_comes_first) {
  ASSERT_EQ(start({"a", "b"}), "");
  EXPECT_NE(start({"b", "a"}).find("a holds this broker's metadata"), std::string::npos);
  EXPECT_FALSE(disk.exists("b/metadata.sqlite"));
}

TEST_F(FoldersTest, a_folder_whose_broker_has_its_metadata_elsewhere_is_left_as_it_is) {
  ASSERT_EQ(start({"a", "b", "c"}), "");
  const auto before = disk.list("b").value();
  const auto refused = [&](std::vector<std::string> paths) {
    metadata = &another;
    return start(std::move(paths)).find("b is a data folder of a broker whose metadata.sqlite is elsewhere") !=
           std::string::npos;
  };
  EXPECT_TRUE(refused({"b"}));
  EXPECT_TRUE(refused({"b", "c"}));
  EXPECT_TRUE(refused({"new", "b"}));
  EXPECT_TRUE(is_empty("new"));
  ASSERT_TRUE(disk.unlink("b/ring-1").has_value());
  put("b/ring-1.state-0");
  EXPECT_TRUE(refused({"b"})) << "a ring that is lost";
  ASSERT_TRUE(disk.rename("b/ring-1.state-0", "b/logs").has_value());
  EXPECT_TRUE(refused({"b"})) << "and its state";
  ASSERT_TRUE(disk.rename("b/logs", "b/ring-1").has_value());
  EXPECT_EQ(disk.list("b").value(), before);
  metadata = &own;
  EXPECT_EQ(start({"a", "b", "c"}), "");
  EXPECT_EQ(places, (Places{"0 in a", "1 in b", "2 in c"}));
}

TEST_F(FoldersTest, a_first_start_that_ended_before_there_was_metadata_is_made_again) {
  put("a/folder.making");
  put("a/lock");
  EXPECT_EQ(start({"a"}), "");
  ASSERT_TRUE(disk.unlink("a/metadata.sqlite").has_value());
  ASSERT_TRUE(disk.unlink("a/ring-0").has_value());
  EXPECT_EQ(start({"a"}), "") << "of which only the folder file was there";
}

TEST_F(FoldersTest, a_folder_of_another_broker_is_refused_though_its_metadata_is_not_in_it) {
  ASSERT_EQ(start({"theirs", "their-other"}), "");
  metadata = &another;
  ASSERT_EQ(start({"a"}), "");
  const std::string said = start({"a", "their-other"});
  EXPECT_NE(said.find("their-other (id "), std::string::npos) << said;
  EXPECT_NE(said.find("metadata in a does not know"), std::string::npos) << said;
  EXPECT_EQ(start({"a"}), "") << "it is not remembered";
}

TEST_F(FoldersTest, copies_and_strangers_are_refused) {
  ASSERT_EQ(start({"a"}), "");
  put("theirs/metadata.sqlite");
  EXPECT_NE(start({"a", "theirs"}).find("two brokers"), std::string::npos);
  put("stranger/ring-7");
  EXPECT_NE(start({"a", "stranger"}).find("stranger"), std::string::npos) << "a ring without a folder file";
  ASSERT_EQ(start({"a", "b"}), "");
  put("b/ring-0");
  EXPECT_NE(start({"a", "b"}).find("ring-0 is in a and in b"), std::string::npos);
  put("b/ring-2.state");
  put("b/ring-03");
  put("b/ring-");
  put("b/ring-70000");
  ASSERT_TRUE(disk.unlink("b/ring-0").has_value());
  EXPECT_EQ(start({"a", "b"}), "") << "what only looks like a ring is none";
  EXPECT_EQ(places, (Places{"0 in a", "1 in b"}));
}

}  // namespace
}  // namespace penstock::control
