# Runs store_load on a small ring in a folder of its own.
file(REMOVE_RECURSE ${FOLDER})
file(MAKE_DIRECTORY ${FOLDER})
execute_process(COMMAND ${PROGRAM} --data ${FOLDER}/data --ring-mib 8 --laps 2 --batch-bytes 20000
  --segment-mib 4 --direct
  COMMAND_ERROR_IS_FATAL ANY)
file(REMOVE_RECURSE ${FOLDER})
